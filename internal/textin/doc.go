// Package textin turns the bytes of a file, compressed or not and in any of a
// few encodings, into one stream of UTF-8 with stable byte offsets.
//
// [Look] reads the head of a file and says what it is; [Open] gives the decoded
// stream from any decoded offset. Uncompressed UTF-8 is passed through as it
// is, so that opening it at an offset is a seek; everything else is decoded from
// the beginning and skipped. Memory does not depend on the file: the windows of
// the decompressors (gzip 32 KiB, zstd at most 8 MiB) and buffers of some 100 KiB.
//
// # Marks
//
// A byte order mark stays in the stream, as the UTF-8 one, and counts in the
// offsets. Readers of records skip it.
//
// # Which encoding it is
//
// Bytes are valid in many encodings at once. Each of those that files come in, also what [Open] cannot read, gives a reading
// with a cost: words of letters that no language writes so cost much. If another text costs hardly more than
// the guess, it is a [Rival], and [Detected.Doubt] asks.
//
// # Bytes that are not text
//
// A byte that cannot be decoded costs its record, not the file. In UTF-8 it is
// passed through. In other encodings it becomes three bytes that no UTF-8 has:
// 0xFF, 0x80 + its high half and 0x80 + its low half. They hold no delimiter, quote
// or line end, every check for valid UTF-8 finds them, and they need no channel
// beside the stream, so that reading from any offset gives the same. [Encoding.Invalid]
// finds the first of them and names the original byte; [Encoding.Clean] makes
// them U+FFFD for people to read.
package textin
