// SPDX-License-Identifier: Apache-2.0
// The text of a QR code on a picture: read by the browser where it can, else by a worker that is loaded when needed.
// The picture never leaves the device.

import type { Pixels } from "./qr-reader.js";

const FILE_BYTES_MAX = 40 * 1024 * 1024; // the largest photos of today's phones
const READ_MS_MAX = 20_000; // for one size on a slow phone; then the picture counts as one without a code
/** Longest sides that are tried, in pixels: most photos are read at the first, dense codes need more, coarse ones less. */
const SIDES = [1200, 2200, 640] as const;

interface Detector {
  detect(image: ImageBitmap): Promise<readonly { readonly rawValue: string }[]>;
}
type DetectorClass = (new (options: { formats: string[] }) => Detector) & { getSupportedFormats(): Promise<string[]> };

/**
 * Read a picture.
 *
 * @param file - What somebody chose.
 * @param readerUrl - Where `qr-reader.js` is served.
 * @returns The text, or undefined where there is no code, or no picture.
 */
export async function readPhoto(file: Blob, readerUrl: string): Promise<string | undefined> {
  if (file.size > FILE_BYTES_MAX) return undefined;
  let image: ImageBitmap;
  try {
    image = await createImageBitmap(file);
  } catch {
    return undefined; // no picture at all
  }
  try {
    return (await detect(image)) ?? (await search(image, readerUrl));
  } finally {
    image.close();
  }
}

/** The browser's own reader, where it has one. */
async function detect(image: ImageBitmap): Promise<string | undefined> {
  const made = (globalThis as { BarcodeDetector?: DetectorClass }).BarcodeDetector;
  try {
    if (made === undefined || !(await made.getSupportedFormats()).includes("qr_code")) return undefined;
    const [found] = await new made({ formats: ["qr_code"] }).detect(image);
    return found?.rawValue;
  } catch {
    return undefined; // some browsers offer it and have no service behind it
  }
}

async function search(image: ImageBitmap, readerUrl: string): Promise<string | undefined> {
  const worker = new Worker(readerUrl);
  try {
    const longest = Math.max(image.width, image.height);
    const sides = SIDES.filter((side, i) => i === 0 || side < longest || SIDES.every((other) => other >= side));
    for (const side of sides) {
      const pixels = pixelsOf(image, image, Math.min(1, side / longest));
      const found = pixels === undefined ? null : await ask(worker, pixels);
      if (found !== null) return found;
    }
    return undefined;
  } catch {
    return undefined; // the reader did not load, or took too long
  } finally {
    worker.terminate();
  }
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** A picture's pixels, smaller by a factor. */
export function pixelsOf(image: CanvasImageSource, size: Size, scale: number): Pixels | undefined {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(size.width * scale));
  canvas.height = Math.max(1, Math.round(size.height * scale));
  const context = canvas.getContext("2d");
  if (context === null) return undefined;
  context.fillStyle = "#fff"; // what is see-through is paper
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Let the worker look at some pixels; null: there is no code in them. */
export function ask(worker: Worker, { data, width, height }: Pixels): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("too slow")), READ_MS_MAX);
    worker.onerror = (event) => {
      event.preventDefault();
      clearTimeout(timer);
      reject(new Error("no reader"));
    };
    worker.onmessage = ({ data: found }: MessageEvent<string | null>) => {
      clearTimeout(timer);
      resolve(found);
    };
    worker.postMessage({ data, width, height }, [data.buffer]);
  });
}
