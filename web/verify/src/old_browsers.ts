// SPDX-License-Identifier: Apache-2.0
/** The one function of the standard library that the curve's library uses and browsers of 2021 lack. Imported first. */

const objects = Object as unknown as { hasOwn?: (object: object, name: PropertyKey) => boolean };

objects.hasOwn ??= (object, name) => Object.prototype.hasOwnProperty.call(object, name);
