// Reads codes from the camera: by the browser where it can, else by zxing, which comes with its own wasm.

import { Wrong } from './lang.js';

const NATIVE = ['qr_code', 'data_matrix', 'code_128'];
const ZXING = ['QRCode', 'DataMatrix', 'Code128'];
const EVERY_MS = 120;
/** The same code again counts as new only after it was out of sight for this long. */
const REPEAT_MS = 2500;
/** Longer side of the picture that zxing looks at. */
const SIDE = 1280;

async function nativeReader() {
  const known = (await globalThis.BarcodeDetector?.getSupportedFormats?.().catch(() => [])) ?? [];
  if (!NATIVE.every((format) => known.includes(format))) return null;
  const detector = new BarcodeDetector({ formats: NATIVE });
  return async (video) => (await detector.detect(video)).map(({ rawValue }) => rawValue);
}

async function zxingReader() {
  const { prepareZXingModule, readBarcodes } = await import('../../vendor/zxing.js');
  prepareZXingModule({ fireImmediately: true });
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  return async (video) => {
    const scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const picture = context.getImageData(0, 0, canvas.width, canvas.height);
    const found = await readBarcodes(picture, { formats: ZXING, tryHarder: true, textMode: 'Plain', maxNumberOfSymbols: 1 });
    return found.filter(({ isValid }) => isValid).map(({ text }) => text);
  };
}

let reader;

/** Loads what reads codes, so that it is there when it is needed. */
export function prepare() {
  reader ??= nativeReader().then((native) => native ?? zxingReader());
  return reader;
}

function cameraError({ name }) {
  if (name === 'NotAllowedError') {
    return new Wrong('未允许使用相机。可在浏览器设置中允许，或用扫码枪、键盘输入。', 'The camera is not allowed. Allow it in the browser’s settings, or use a scanner or the keyboard.');
  }
  return new Wrong('打不开相机，请用扫码枪或键盘输入。', 'The camera can’t be opened; use a scanner or the keyboard.');
}

/**
 * Shows the camera in a video element and calls back with each code.
 * @returns {Promise<{stop: () => void, torch: ((on: boolean) => Promise<void>) | null}>}
 */
export async function watchCamera(video, onCode) {
  let stream;
  try {
    const wanted = { facingMode: { ideal: 'environment' }, width: { ideal: 1920 }, height: { ideal: 1080 } };
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    throw cameraError(error);
  }
  video.srcObject = stream;
  const [track] = stream.getVideoTracks();
  const state = { stopped: false };
  const stop = () => {
    state.stopped = true;
    stream.getTracks().forEach((one) => one.stop());
    video.srcObject = null;
  };
  await video.play().catch(() => undefined);
  const read = await prepare().catch((error) => {
    stop();
    reader = undefined;
    throw error;
  });
  look(video, read, onCode, state);
  const lights = track.getCapabilities?.().torch;
  return { stop, torch: lights ? (on) => track.applyConstraints({ advanced: [{ torch: on }] }) : null };
}

async function look(video, read, onCode, state) {
  const seen = new Map();
  while (!state.stopped) {
    if (video.readyState >= 2 && document.visibilityState === 'visible') {
      // A frame that can't be read is followed by another.
      const codes = await read(video).catch(() => []);
      if (state.stopped) return;
      for (const code of codes) {
        const known = Date.now() - (seen.get(code) ?? 0) < REPEAT_MS;
        seen.set(code, Date.now());
        if (!known) onCode(code);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
