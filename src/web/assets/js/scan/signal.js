// Results that are told without a look at the screen: tones and vibration, each different.

let audio;

/** Browsers give sound only after a touch or a key. */
export function allowSound() {
  audio ??= new (globalThis.AudioContext ?? globalThis.webkitAudioContext)();
  if (audio.state === 'suspended') audio.resume();
}

function tone(frequency, start, length, shape = 'sine') {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  const from = audio.currentTime + start;
  oscillator.type = shape;
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0.35, from);
  gain.gain.exponentialRampToValueAtTime(0.001, from + length);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(from);
  oscillator.stop(from + length);
}

const SIGNALS = {
  // Two high beeps; one in the middle; a low buzz; a tick.
  good: { tones: [[1760, 0, 0.12], [1760, 0.17, 0.16]], shake: [60, 60, 60] },
  amber: { tones: [[784, 0, 0.35]], shake: [220] },
  bad: { tones: [[140, 0, 0.3, 'sawtooth'], [120, 0.35, 0.45, 'sawtooth']], shake: [400, 120, 400] },
  wait: { tones: [[1200, 0, 0.06]], shake: [40] },
};

export function signal(colour) {
  const { tones, shake } = SIGNALS[colour];
  // Before the first touch, a browser takes the call for an error.
  if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.(shake);
  if (audio?.state === 'running') for (const one of tones) tone(...one);
}
