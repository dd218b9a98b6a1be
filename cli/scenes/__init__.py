# SPDX-License-Identifier: Apache-2.0
"""Scenes of the demonstration, each a story whose every step asserts what it shows.

A scene is a module with a `SCENE`; `cli.scenes.registry` lists them.
"""
