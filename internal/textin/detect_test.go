package textin

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

func look(t *testing.T, data []byte, want Format) *Head {
	t.Helper()
	src := &source{data: data}
	head, err := Look(src.at, want)
	if err != nil {
		t.Fatal(err)
	}
	if src.open != 0 {
		t.Errorf("%d sources were not closed", src.open)
	}
	return head
}

// Texts as they are in files that people send.
var (
	customers = "顧客番号,氏名,フリガナ,郵便番号,住所,備考\r\n1001,佐藤 一郎,サトウ イチロウ,100-0001,東京都千代田区千代田１－１,\r\n1002,鈴木 花子,スズキ ハナコ,530-0001,大阪府大阪市北区梅田２丁目,至急お願いします。\r\n"
	names     = "氏名\n佐藤 一郎\n鈴木 花子\n高橋 健太\n"
	halfWidth = "ｺｰﾄﾞ,ﾌﾘｶﾞﾅ\r\n1,ﾔﾏﾀﾞ ﾀﾛｳ\r\n2,ｽｽﾞｷ ﾊﾅｺ\r\n3,ｲﾄｳ ｹﾝ\r\n4,ﾜﾀﾅﾍﾞ ﾕｷ\r\n"
	mail      = "件名,本文\nお知らせ,いつもお世話になっております。来週の会議の件でご連絡いたしました。\n"
	french    = "prénom;nom;société;remarque\nHélène;Lefèvre;Éditions du Château;déjà payé, à vérifier\nFrançois;Noël;Crédit Agricole;réglé le 5 août\n"
	german    = "Vorname;Nachname;Straße\nJürgen;Müller;Königsallee 5\nKäthe;Weiß;Größlingstraße 7\n"
	spanish   = "nombre,ciudad\nJosé,A Coruña\nMaría,Málaga\nÍñigo,León\n"
	danish    = "navn,by\nSøren Ærø,Århus\nAsbjørn,Tårnby\n"
	oneName   = "id,name,city\n1,John,Boston\n2,José,Miami\n3,Ann,Denver\n"
	prices    = "item,price\npen,€1\nbook,€20 – “good”\n"
)

func TestDetect(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		text string
		e    Encoding
	}{
		{"customers", customers, UTF8}, {"customers", customers, ShiftJIS}, {"customers", customers, EUCJP}, {"customers", customers, UTF16LE}, {"customers", customers, UTF16BE},
		{"names", names, UTF8}, {"names", names, ShiftJIS}, {"names", names, EUCJP}, {"names", names, UTF16LE},
		{"half width", halfWidth, ShiftJIS}, {"half width", halfWidth, EUCJP}, {"half width", halfWidth, UTF16LE},
		{"mail", mail, ShiftJIS}, {"mail", mail, EUCJP},
		{"french", french, Windows1252}, {"french", french, UTF8}, {"french", french, UTF16BE},
		{"german", german, Windows1252}, {"spanish", spanish, Windows1252}, {"danish", danish, Windows1252},
		{"one name", oneName, Windows1252}, {"prices", prices, Windows1252},
		{"ascii", "id,name\n1,John\n", UTF8}, {"ascii", "id,name\n1,John\n", UTF16LE}, {"nothing", "", UTF8},
	}
	for _, tt := range tests {
		t.Run(tt.name+"/"+string(tt.e), func(t *testing.T) {
			t.Parallel()
			data := encode(t, tt.e, tt.text)
			for _, head := range []*Head{look(t, data, Format{}), look(t, gzipped(t, data), Format{})} {
				if head.Encoding != tt.e || head.Doubt() != "" || !head.Guessed || head.Why == "" || head.Warning != "" {
					t.Errorf("%+v, doubt %q", head.Detected, head.Doubt())
				}
				if string(head.Text) != tt.text || !head.Whole {
					t.Errorf("text %q", head.Text)
				}
			}
			if head := look(t, data, Format{Encoding: Latin1}); head.Encoding != Latin1 || head.Guessed || head.Confidence != 1 {
				t.Errorf("set: %+v", head.Detected)
			}
		})
	}
}

func TestDetectMarks(t *testing.T) {
	t.Parallel()

	for _, e := range []Encoding{UTF8, UTF16LE, UTF16BE} {
		head := look(t, encode(t, e, "\ufeff"+names), Format{})
		if head.Encoding != e || !head.BOM || head.Guessed || head.Confidence != 1 || string(head.Text) != "\ufeff"+names {
			t.Errorf("%s: %+v", e, head.Detected)
		}
	}
	if head := look(t, encode(t, UTF16LE, "\ufeff"+names), Format{Encoding: UTF8}); !strings.Contains(head.Warning, "UTF-16LE") || head.Encoding != UTF8 {
		t.Errorf("another set: %+v", head.Detected)
	}
	if head := look(t, []byte("\xff\xfe\x00\x00i\x00\x00\x00"), Format{}); !strings.Contains(head.Doubt(), "UTF-32LE") {
		t.Errorf("UTF-32: %+v", head.Detected)
	}
}

// TestDetectDoubts: what is not known is said, with the choices.
func TestDetectDoubts(t *testing.T) {
	t.Parallel()

	russian := []byte("\xc8\xec\xff,\xc3\xee\xf0\xee\xe4\n\xc8\xe2\xe0\xed,\xcc\xee\xf1\xea\xe2\xe0\n") // windows-1251
	tests := []struct {
		name string
		data []byte
	}{
		{"cyrillic", russian},
		{"noise", []byte("\x81\x00\xff\x90\xfe\x80\x9d\xa0\xfd,\x8f\x20\xff\x81\x20")},
		{"ISO-2022-JP", []byte("name\n\x1b$B;3ED\x1b(B\n")},
		{"one short word", []byte("name\n\xb1\xb2\n")},
	}
	for _, tt := range tests {
		if head := look(t, tt.data, Format{}); !strings.Contains(head.Doubt(), "set `encoding:") {
			t.Errorf("%s: no doubt in %+v", tt.name, head.Detected)
		}
	}
}

// TestFewUTF8: one letter is enough to know UTF-8 by, unless it does not belong where it is.
func TestFewUTF8(t *testing.T) {
	t.Parallel()

	for _, text := range []string{"ä", "ñ", "é\n", "id,name\n1,José\n", "1,£5\n", "1,山\n", "я\n", "1,Ģirts\n", "1,\ufeffbom\n", "1,\u200eLeft\n", "a\u200bb\n", "1,“quoted”\n", "1,5 €\n", "x…\n", "1,🙂\n", "\u2028\n", "1,a\u2028b\n", "1,two\u2029\n"} {
		if head := look(t, []byte(text), Format{}); head.Encoding != UTF8 || head.Doubt() != "" {
			t.Errorf("%q: %s, %s", text, head.Encoding, head.Doubt())
		}
	}
	// 模 in GBK
	if head := look(t, []byte("id,name\n1,\xc4\xa3\n"), Format{}); !strings.Contains(head.Doubt(), "utf-8 or GBK") {
		t.Errorf("%s: %q", head.Encoding, head.Doubt())
	}
}

// TestWhatItMayBe: each encoding comes with what to do about it, those that an import does not read too.
func TestWhatItMayBe(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct{ name, data, want string }{
		{"GBK", "\xd5\xc5\xce\xb0,\xb1\xb1\xbe\xa9\xca\xd0\xb3\xaf\xd1\xf4\xc7\xf8\n", // 张伟,北京市朝阳区
			"the encoding is not certain: the file looks like GBK, which an import cannot read, and not like euc-jp; make it UTF-8 first: " +
				"`iconv -f GBK -t UTF-8 FILE > FILE.utf8`; if it is euc-jp all the same, set `encoding: euc-jp`"},
		{"Turkish", "ad\nY\xfdld\xfdz\n", // Yıldız
			"the encoding is not certain: the file may be windows-1252, windows-1254, windows-1258 or windows-1255; set `encoding: windows-1252`; " +
				"if it is another, which an import cannot read, make it UTF-8 first: `iconv -f WINDOWS-1254 -t UTF-8 FILE > FILE.utf8`, " +
				"`iconv -f WINDOWS-1258 -t UTF-8 FILE > FILE.utf8` or `iconv -f WINDOWS-1255 -t UTF-8 FILE > FILE.utf8`"},
	} {
		if got := look(t, []byte(tt.data), Format{}).Doubt(); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// TestWrongGuess: ASCII at first, something else after the sample.
func TestWrongGuess(t *testing.T) {
	t.Parallel()

	data := append(bytes.Repeat([]byte("1,John\n"), SampleSize/7+100), encode(t, ShiftJIS, "2,山田\n")...)
	head := look(t, data, Format{})
	if head.Encoding != UTF8 || head.Whole || !strings.Contains(head.Why, "first 256 KiB is plain ASCII") {
		t.Errorf("%+v", head.Detected)
	}
	at, why := head.Invalid(data[len(data)-7:])
	if at != 2 || !strings.HasPrefix(why, "byte 0x8E at column 3 is not valid utf-8; the encoding was guessed (") || !strings.Contains(why, "set `encoding:`") {
		t.Errorf("at %d: %s", at, why)
	}
	head = look(t, data, Format{Encoding: UTF8})
	if _, why := head.Invalid(data[len(data)-7:]); strings.Contains(why, "guessed") {
		t.Errorf("of a set encoding: %s", why)
	}
}

func TestDetectMostlyUTF8(t *testing.T) {
	t.Parallel()

	head := look(t, []byte(customers+"1003,\xff\n"), Format{})
	if head.Encoding != UTF8 || !strings.HasPrefix(head.Warning, "1 bytes in the file are not valid UTF-8") {
		t.Errorf("%+v", head.Detected)
	}
}

// TestSampleCutsACharacter: wherever the sample ends, it is the same encoding and text.
func TestSampleCutsACharacter(t *testing.T) {
	t.Parallel()

	for _, e := range []Encoding{UTF8, ShiftJIS, EUCJP, UTF16LE, UTF16BE} {
		for shift := range 3 {
			full := strings.Repeat("x", shift) + strings.Repeat(customers, 3*SampleSize/2/len(customers))
			for _, data := range [][]byte{encode(t, e, full), zstded(t, encode(t, e, full))} {
				head, err := Look(func(int64) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, Format{})
				if err != nil {
					t.Fatal(err)
				}
				if head.Encoding != e || head.Whole || head.Warning != "" || !strings.HasPrefix(full, string(head.Text)) || len(head.Text) < SampleSize/2 {
					t.Errorf("%s, %d: %+v with %d bytes", e, shift, head.Detected, len(head.Text))
				}
			}
		}
	}
}

func TestParseEncoding(t *testing.T) {
	t.Parallel()

	for name, want := range map[string]Encoding{
		"": AutoEncoding, "auto": AutoEncoding, "UTF8": UTF8, "Shift-JIS": ShiftJIS, "cp932": ShiftJIS, "SJIS": ShiftJIS, "Windows-31J": ShiftJIS,
		"EUC-JP": EUCJP, "latin-1": Latin1, "ISO-8859-1": Latin1, "CP1252": Windows1252, "UTF-16LE": UTF16LE,
	} {
		if got, err := ParseEncoding(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"utf-16", "big5"} {
		if _, err := ParseEncoding(name); err == nil || !strings.Contains(err.Error(), "choose") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, e := range []Encoding{UTF8, UTF16LE, UTF16BE, ShiftJIS, EUCJP, Latin1, Windows1252} {
		if got, err := ParseEncoding(string(e)); err != nil || got != e {
			t.Errorf("%s: %q, %v", e, got, err)
		}
	}
	var seen []Compression
	for _, name := range []string{"", "auto", "none", "GZIP", "gz", "zstd", "zst"} {
		c, err := ParseCompression(name)
		if err != nil {
			t.Error(err)
		}
		seen = append(seen, c)
	}
	if !slices.Equal(seen, []Compression{"", "", None, Gzip, Gzip, Zstd, Zstd}) {
		t.Errorf("%q", seen)
	}
}
