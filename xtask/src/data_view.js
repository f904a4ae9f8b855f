// In the place of wasm-bindgen's function of this name, which asks the view twice for its buffer and the buffer twice whether it
// is detached, for each text that Wasm gets: calls out of compiled code. The view of bytes knows it by its length alone.
let viewedMemory0 = null;
function getDataViewMemory0() {
    const bytes = getUint8ArrayMemory0();
    if (viewedMemory0 !== bytes) {
        viewedMemory0 = bytes;
        cachedDataViewMemory0 = new DataView(bytes.buffer);
    }
    return cachedDataViewMemory0;
}
