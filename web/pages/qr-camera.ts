// SPDX-License-Identifier: Apache-2.0
// A QR code read from the camera while one holds it there: frames go to the worker that reads photos, and nowhere else.
// The camera is on as long as the dialog is open, and not a moment longer.

import { element } from "./elements.js";
import { ask, pixelsOf } from "./qr-photo.js";

const SIDE_MAX = 900; // longest side of a frame that is looked at, in pixels: a label at arm's length
const PAUSE_MS = 120; // between two looks, so that a slow phone stays usable
const WATCH_MS_MAX = 60_000; // then whoever scans is doing something else
const OPEN_MS_MAX = 20_000; // for somebody to allow the camera, and for it to start

/** How it ended: a code, the wish to take a photo, nothing wanted, or no camera to be had. */
export type Seen =
  | { readonly outcome: "read"; readonly found: string }
  | { readonly outcome: "photo" | "stopped" | "none" };

export interface Words {
  readonly title: string;
  readonly photo: string;
  readonly stop: string;
}

let isRefused = false; // by whoever has the phone, or for lack of a camera: not asked again on this page

/** Whether there may be a camera to watch through. */
export function hasCamera(): boolean {
  return !isRefused && typeof navigator.mediaDevices?.getUserMedia === "function" && "HTMLDialogElement" in window;
}

/**
 * Watch through the camera until there is a code.
 *
 * @param readerUrl - Where `qr-reader.js` is served.
 * @param words - What the dialog says.
 */
export async function readCamera(readerUrl: string, words: Words): Promise<Seen> {
  let stream: MediaStream;
  try {
    stream = await opened();
  } catch {
    isRefused = true;
    return { outcome: "none" };
  }
  const worker = new Worker(readerUrl);
  const video = element("video", { class: "trade-camera", playsinline: "", "aria-hidden": "true" });
  video.muted = true;
  const photo = element("button", { class: "btn quiet", type: "button" }, words.photo);
  const stop = element("button", { class: "btn", type: "button" }, words.stop);
  const title = element("h2", { id: "camera-title" }, words.title);
  const buttons = element("div", { class: "buttons" }, photo, stop);
  const dialog = element("dialog", { "aria-labelledby": "camera-title" }, title, video, buttons);
  document.body.append(dialog);
  try {
    return await new Promise<Seen>((resolve) => {
      const end = (seen: Seen): void => resolve(seen);
      photo.addEventListener("click", () => end({ outcome: "photo" }));
      stop.addEventListener("click", () => end({ outcome: "stopped" }));
      dialog.addEventListener("close", () => end({ outcome: "stopped" }));
      stream.getVideoTracks()[0]?.addEventListener("ended", () => end({ outcome: "none" }));
      dialog.showModal();
      video.srcObject = stream;
      video.play().catch(() => end({ outcome: "none" }));
      void watched(video, worker, dialog).then(end);
    });
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    worker.terminate();
    dialog.remove();
  }
}

/** The camera at the back, where there are two; one that starts after all is closed again. */
async function opened(): Promise<MediaStream> {
  const asked = navigator.mediaDevices.getUserMedia({
    audio: false,
    video: { facingMode: { ideal: "environment" }, width: { ideal: 1280 } },
  });
  const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error("too slow")), OPEN_MS_MAX));
  try {
    return await Promise.race([asked, late]);
  } catch (error) {
    void asked.then((stream) => stream.getTracks().forEach((track) => track.stop())).catch(() => undefined);
    throw error;
  }
}

async function watched(video: HTMLVideoElement, worker: Worker, dialog: HTMLDialogElement): Promise<Seen> {
  const end = Date.now() + WATCH_MS_MAX;
  while (dialog.open && Date.now() < end) {
    const size = { width: video.videoWidth, height: video.videoHeight };
    const longest = Math.max(size.width, size.height);
    try {
      const pixels = longest > 0 ? pixelsOf(video, size, Math.min(1, SIDE_MAX / longest)) : undefined;
      const found = pixels === undefined ? null : await ask(worker, pixels);
      if (found !== null && found !== "") return { outcome: "read", found };
    } catch {
      return { outcome: "none" }; // the reader did not load
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return { outcome: "stopped" };
}
