// From a message to the model's numbers, step by step as the course does it in Python (mmcourse.preprocess).

// ---- words: numbers of the vocabulary; 1 stands for a word that it lacks
export function wordNumbers(sentence, vocabulary) {
  const words = sentence.toLowerCase().match(/[a-z']+/g) ?? [];
  return words.map((word) => Math.max(1, vocabulary.indexOf(word)));
}

// ---- face: the middle square at size × size pixels, (size, size, 3) whole numbers 0 to 255
export function squareFace({ data, width, height }, size) {
  const side = Math.min(width, height);
  const top = Math.floor((height - side) / 2), left = Math.floor((width - side) / 2);
  const weights = resizeWeights(side, size);
  const narrow = new Float64Array(side * size * 3); // along the rows first …
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < size; x++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (const [j, w] of weights[x]) sum += w * data[4 * ((top + y) * width + left + j) + c];
        narrow[3 * (y * size + x) + c] = whole(sum);
      }
    }
  }
  const out = new Float64Array(size * size * 3); // … then down the columns
  for (let y = 0; y < size; y++) {
    for (let i = 0; i < 3 * size; i++) {
      let sum = 0;
      for (const [j, w] of weights[y]) sum += w * narrow[3 * j * size + i];
      out[3 * y * size + i] = whole(sum);
    }
  }
  return out;
}

const whole = (x) => Math.max(0, Math.min(255, Math.floor(x + 0.5)));

// For each new pixel the old ones that it is made of, [[index, weight], …]: a triangle as wide as the picture shrinks.
function resizeWeights(n, size) {
  const scale = n / size, reach = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - reach + 0.5)), last = Math.min(n, Math.floor(center + reach + 0.5));
    const pairs = [];
    for (let j = first; j < last; j++) pairs.push([j, Math.max(0, 1 - Math.abs((j - center + 0.5) / reach))]);
    const sum = pairs.reduce((total, [, w]) => total + w, 0);
    return pairs.map(([j, w]) => [j, Math.floor((w / sum) * 2 ** 22 + 0.5) / 2 ** 22]); // rounded as Pillow does
  });
}

// ---- voice: log-mel frames (t, bands), less their mean, over the training voices' spread
export function voiceFrames(wave, { sample_rate, n_fft, hop_length, n_mels, top_db, spread }) {
  const bank = melBank(sample_rate, n_fft, n_mels), bins = n_fft / 2 + 1;
  const frames = 1 + Math.floor(wave.length / hop_length); // frame t is centered on sample t · hop_length
  const window = Float64Array.from({ length: n_fft }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / n_fft));
  const levels = new Float64Array(frames * n_mels);
  for (let t = 0; t < frames; t++) {
    const re = new Float64Array(n_fft), im = new Float64Array(n_fft);
    for (let i = 0; i < n_fft; i++) re[i] = window[i] * (wave[t * hop_length + i - n_fft / 2] ?? 0);
    fourier(re, im);
    for (let m = 0; m < n_mels; m++) {
      let power = 0;
      for (let k = 0; k < bins; k++) power += bank[m][k] * (re[k] * re[k] + im[k] * im[k]);
      levels[t * n_mels + m] = 10 * Math.log10(Math.max(power, 1e-10));
    }
  }
  const floor = levels.reduce((a, b) => Math.max(a, b), -Infinity) - top_db;
  const out = new Float32Array(levels.length);
  for (let m = 0; m < n_mels; m++) {
    let mean = 0;
    for (let i = m; i < levels.length; i += n_mels) mean += (levels[i] = Math.max(levels[i], floor)) / frames;
    for (let i = m; i < levels.length; i += n_mels) out[i] = (levels[i] - mean) / spread[m];
  }
  return out;
}

// Triangles that are equally wide in mel (Slaney's scale), each of the same area.
function melBank(rate, n_fft, n_mels) {
  const toMel = (hz) => (hz < 1000 ? (3 * hz) / 200 : 15 + (27 * Math.log(hz / 1000)) / Math.log(6.4));
  const toHz = (mel) => (mel < 15 ? (200 * mel) / 3 : 1000 * 6.4 ** ((mel - 15) / 27));
  const edges = Array.from({ length: n_mels + 2 }, (_, i) => toHz((toMel(rate / 2) * i) / (n_mels + 1)));
  return Array.from({ length: n_mels }, (_, m) => {
    const [low, peak, high] = edges.slice(m, m + 3);
    return Float64Array.from({ length: n_fft / 2 + 1 }, (_, k) => {
      const hz = (k * rate) / n_fft;
      return (Math.max(0, Math.min((hz - low) / (peak - low), (high - hz) / (high - peak))) * 2) / (high - low);
    });
  });
}

// Fast Fourier transform in place; the length is a power of two. Halves are combined after putting indices, read
// backwards in binary, in order.
export function fourier(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
  }
  for (let size = 2; size <= n; size *= 2) {
    for (let k = 0; k < size / 2; k++) {
      const cos = Math.cos((-2 * Math.PI * k) / size), sin = Math.sin((-2 * Math.PI * k) / size);
      for (let a = k; a < n; a += size) {
        const b = a + size / 2;
        const x = re[b] * cos - im[b] * sin, y = re[b] * sin + im[b] * cos;
        re[b] = re[a] - x; im[b] = im[a] - y;
        re[a] += x; im[a] += y;
      }
    }
  }
}
