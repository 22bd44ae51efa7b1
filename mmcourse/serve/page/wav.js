// WAV files: written as 16-bit PCM with one channel; read with 8 to 32 bits, integers or floats, channels averaged.

export function writeWav(wave, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * wave.length));
  const say = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  say(0, "RIFF"); view.setUint32(4, 36 + 2 * wave.length, true); say(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of what describes the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample
  view.setUint16(34, 16, true); // bits a sample
  say(36, "data"); view.setUint32(40, 2 * wave.length, true);
  wave.forEach((x, i) => view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(x * 32768))), true));
  return view.buffer;
}

// {wave: Float64Array in [-1, 1], rate}; null where this is no WAV file that we can read.
export function readWav(buffer) {
  const view = new DataView(buffer);
  const word = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (buffer.byteLength < 44 || word(0) !== "RIFF" || word(8) !== "WAVE") return null;
  let format = null;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true), start = at + 8;
    if (word(at) === "fmt ") {
      let kind = view.getUint16(start, true);
      if (kind === 0xfffe && size >= 26) kind = view.getUint16(start + 24, true); // "extensible": the kind is further on
      format = { kind, channels: view.getUint16(start + 2, true), rate: view.getUint32(start + 4, true), bits: view.getUint16(start + 14, true) };
    } else if (word(at) === "data" && format) {
      return samples(view, start, Math.min(size, buffer.byteLength - start), format);
    }
    at = start + size + (size % 2);
  }
  return null;
}

function samples(view, start, size, { kind, channels, rate, bits }) {
  const bytes = bits / 8;
  const read = {
    "1/8": (at) => (view.getUint8(at) - 128) / 128,
    "1/16": (at) => view.getInt16(at, true) / 32768,
    "1/24": (at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8388608,
    "1/32": (at) => view.getInt32(at, true) / 2147483648,
    "3/32": (at) => view.getFloat32(at, true),
    "3/64": (at) => view.getFloat64(at, true),
  }[`${kind}/${bits}`];
  const length = Math.floor(size / (bytes * channels));
  if (!read || !channels || !rate || !length) return null;
  const wave = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    for (let c = 0; c < channels; c++) {
      wave[i] += Math.max(-1, Math.min(1, read(start + (i * channels + c) * bytes))) / channels;
    }
  }
  return { wave, rate };
}
