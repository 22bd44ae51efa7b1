// From the microphone's rate to the model's: a low-pass filter (a windowed sinc), evaluated only where it is needed.
//
// Upsample by `up` (zeros between the samples), filter below half the smaller rate so that nothing aliases, keep each
// `down`-th sample. Most products of that are with zeros, so each output sums over its own every `up`-th tap alone.

const greatestCommonDivisor = (a, b) => (b ? greatestCommonDivisor(b, a % b) : a);

// Modified Bessel function of order 0, by its series Σ ((x/2)^k / k!)²: what the Kaiser window is made of.
function bessel(x) {
  let sum = 1, term = 1;
  for (let k = 1; term > 1e-17 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

// sinc(x·cutoff)·cutoff in a Kaiser window, 2·half + 1 taps that sum to 1: a constant stays as it is.
export function lowPass(half, cutoff, beta = 5) {
  const taps = new Float64Array(2 * half + 1);
  for (let i = -half; i <= half; i++) {
    const x = Math.PI * i * cutoff;
    taps[i + half] = (i ? Math.sin(x) / x : 1) * bessel(beta * Math.sqrt(1 - (i / half) ** 2));
  }
  const sum = taps.reduce((a, b) => a + b, 0);
  return taps.map((tap) => tap / sum);
}

// Float64Array of ⌈n · to / from⌉ samples.
export function resample(wave, from, to) {
  const common = greatestCommonDivisor(from, to);
  const up = to / common, down = from / common;
  if (up === down) return Float64Array.from(wave);
  const half = 10 * Math.max(up, down); // ten periods of the slower rate to each side
  const taps = lowPass(half, 1 / Math.max(up, down)).map((tap) => tap * up);
  const out = new Float64Array(Math.ceil((wave.length * up) / down));
  for (let i = 0; i < out.length; i++) {
    const center = i * down; // on the fine grid, where sample k of the wave lies at k·up
    const first = Math.max(0, Math.ceil((center - half) / up));
    const last = Math.min(wave.length - 1, Math.floor((center + half) / up));
    let sum = 0;
    for (let k = first; k <= last; k++) sum += wave[k] * taps[center - k * up + half];
    out[i] = sum;
  }
  return out;
}
