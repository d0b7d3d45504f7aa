// Package rowio reads rows out of files for imports that stop, resume and put
// bad rows aside.
//
// # Why not encoding/csv
//
// encoding/csv turns text into strings. An import needs more of each record,
// and needs it below the parser, where a wrapper cannot add it:
//
//   - the raw bytes, so that a rejected row can be kept and handed back as it came;
//   - the byte offset and the physical line of its first byte, and the offset after
//     it, so that a run resumes with a seek and a message names the line an editor shows;
//   - the difference between an empty field (NULL) and a quoted empty one ("");
//   - a bound on one record: a quote that is never closed must not read the rest of
//     the file into memory;
//   - a next record after a malformed one: a stray quote costs a row, not the file;
//   - no allocation per record.
//
// # What counts as CSV
//
// RFC 4180 with any one-byte delimiter and quote. The scanner keeps no state
// from one record to the next except offset and line, so reading from any
// [Record.End] gives exactly the records that a full read gives from there.
//
//   - A line ends with LF, CRLF or a lone CR, also mixed in one file; files from
//     old Macs and "\r\r\n" files are understood. encoding/csv keeps a lone CR
//     outside of quotes as data; here it ends the record.
//   - Inside of quotes every byte is data: CRLF stays CRLF, where encoding/csv makes it LF.
//   - Lines of no bytes at all are skipped but counted, unless a record has one field: then such a
//     line is a record, as PostgreSQL has it. A line of spaces, or of "", is a record.
//   - The last record needs no line end. A UTF-8 byte order mark at offset 0 is skipped.
//   - Nothing is trimmed. The number of fields is checked, and bytes are validated, when
//     [CSVOpts] asks for it; NUL is for the caller to judge.
//   - Comments are lines that begin with [CSVOpts].Comment where a record may begin.
//
// [DetectDialect] finds delimiter, quote and header by the first records.
//
// # What counts as NDJSON
//
// A JSON object on each line, strictly as RFC 8259 has it; line ends and blank
// lines are as in CSV, and lines of white space are blank too. Numbers, arrays and objects
// keep their bytes. Half of a surrogate pair, which encoding/json
// replaces and PostgreSQL refuses, makes the line malformed. Memory holds one line.
//
// # Malformed records
//
// In CSV, a quote inside of an unquoted field, a character after a closing quote, a
// quote never closed and a record over [CSVOpts].MaxRecord are malformed. Only
// the first physical line of such a record is returned, with [Record.Err] set,
// and scanning continues at the next physical line. A record that could be taken
// apart, but has bytes that are no text or a wrong number of fields, is returned whole.
//
// Finding out that a quote is not closed takes a look at up to MaxRecord bytes,
// which are then scanned again from the second line on. The worst case, a file
// built so that every line opens a quote that stays open, therefore costs
// MaxRecord bytes of scanning per malformed line. Callers bound it with their
// limit on rejected rows. Memory does not grow: the buffer holds MaxRecord and
// one read, and about MaxRecord more where a record that long has doubled quotes.
package rowio
