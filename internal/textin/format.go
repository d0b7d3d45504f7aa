package textin

import (
	"fmt"
	"strings"
)

// Compression says how a file is compressed. The zero value is to be found out.
type Compression string

// The compressions.
const (
	AutoCompression Compression = ""
	None            Compression = "none"
	Gzip            Compression = "gzip"
	Zstd            Compression = "zstd"
)

// Encoding says which bytes stand for which characters. The zero value is to be
// found out.
type Encoding string

// The encodings. ShiftJIS is what Windows writes by that name (code page 932).
const (
	AutoEncoding Encoding = ""
	EUCJP        Encoding = "euc-jp"
	Latin1       Encoding = "iso-8859-1"
	ShiftJIS     Encoding = "shift_jis"
	UTF8         Encoding = "utf-8"
	UTF16BE      Encoding = "utf-16be"
	UTF16LE      Encoding = "utf-16le"
	Windows1252  Encoding = "windows-1252"
)

// Format is how the text of a file is written into its bytes.
type Format struct {
	Compression Compression `json:"compression,omitempty"`
	Encoding    Encoding    `json:"encoding,omitempty"`
}

// seeks reports whether offsets of the decoded stream are those of the file.
func (f Format) seeks() bool { return f.Compression == None && f.Encoding == UTF8 }

func (f Format) check() error {
	if _, err := ParseCompression(string(f.Compression)); err != nil {
		return err
	}
	_, err := ParseEncoding(string(f.Encoding))
	return err
}

// ParseCompression reads a compression's name, also "auto" and "" for [AutoCompression].
func ParseCompression(name string) (Compression, error) {
	switch c := Compression(strings.ToLower(name)); c {
	case "auto", AutoCompression:
		return AutoCompression, nil
	case None, Gzip, Zstd:
		return c, nil
	case "gz":
		return Gzip, nil
	case "zst":
		return Zstd, nil
	}
	return "", fmt.Errorf("unknown compression %q; choose auto, none, gzip or zstd", name)
}

// ParseEncoding reads an encoding's name in any case and under the usual other
// names (cp932, sjis, latin1, …), also "auto" and "" for [AutoEncoding].
func ParseEncoding(name string) (Encoding, error) {
	switch strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name)) {
	case "auto", "":
		return AutoEncoding, nil
	case "eucjp", "ujis", "cp51932":
		return EUCJP, nil
	case "iso88591", "latin1":
		return Latin1, nil
	case "shiftjis", "sjis", "cp932", "ms932", "windows31j":
		return ShiftJIS, nil
	case "utf8", "ascii", "usascii":
		return UTF8, nil
	case "utf16be":
		return UTF16BE, nil
	case "utf16le":
		return UTF16LE, nil
	case "windows1252", "cp1252":
		return Windows1252, nil
	case "utf16":
		return "", fmt.Errorf("encoding %q does not say the order of its bytes; choose utf-16le, utf-16be or auto", name)
	}
	return "", fmt.Errorf("unknown encoding %q; choose auto, utf-8, utf-16le, utf-16be, shift_jis, euc-jp, iso-8859-1 or windows-1252", name)
}
