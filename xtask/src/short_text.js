// In the place of wasm-bindgen's function of this name, which leaves all texts to TextDecoder: a view of the memory and a call
// out of the engine for each, which costs as much as reading ten headers. Most texts are short and ASCII.
function getStringFromWasm0(ptr, len) {
    ptr >>>= 0;
    if (len > 256) return decodeText(ptr, len);
    const bytes = getUint8ArrayMemory0();
    const end = ptr + len;
    let text = "";
    let all = 0;
    let at = ptr;
    for (; at + 8 <= end; at += 8) {
        const a = bytes[at], b = bytes[at + 1], c = bytes[at + 2], d = bytes[at + 3];
        const e = bytes[at + 4], f = bytes[at + 5], g = bytes[at + 6], h = bytes[at + 7];
        all |= a | b | c | d | e | f | g | h;
        text += String.fromCharCode(a, b, c, d, e, f, g, h);
    }
    if (at + 4 <= end) {
        const a = bytes[at], b = bytes[at + 1], c = bytes[at + 2], d = bytes[at + 3];
        all |= a | b | c | d;
        text += String.fromCharCode(a, b, c, d);
        at += 4;
    }
    for (; at < end; at++) {
        all |= bytes[at];
        text += String.fromCharCode(bytes[at]);
    }
    return all < 128 ? text : decodeText(ptr, len);
}
