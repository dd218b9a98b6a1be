// SPDX-License-Identifier: Apache-2.0
// A photo for a draft: drawn anew on the device, small enough to keep and without what the camera wrote beside it. The
// service does the same once more: it trusts no device.

const EDGE_MAX = 1600;
const QUALITY = 0.8;

/** A picture's file as base64 of a JPEG; "" where it is none. */
export async function photoText(file: Blob): Promise<string> {
  let image: ImageBitmap;
  try {
    image = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return "";
  }
  const scale = Math.min(1, EDGE_MAX / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return canvas.toDataURL("image/jpeg", QUALITY).split(",")[1] ?? "";
}
