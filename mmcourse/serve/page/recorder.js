// Runs beside the page, in the thread that handles sound: hands over the microphone's samples, 128 at a time.
class Recorder extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
}
registerProcessor("recorder", Recorder);
