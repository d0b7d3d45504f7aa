package bulk

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

var valueTypes = []string{"int2", "int4", "int8", "float4", "float8", "numeric", "numeric(4,1)", "bool", "uuid", "date",
	"timestamp", "timestamptz", "varchar(3)", "char(3)", "small", "name5"}

const valueSchema = `CREATE DOMAIN small AS int2 CHECK (value < 100); CREATE DOMAIN name5 AS varchar(5);`

// seeds are values near the borders of what types accept.
var seeds = []string{
	"", " ", "0", "1", "-1", "+1", "--1", "- 1", "1 ", " 1", "\t1\n", "1 2", "1.5", ".5", "5.", ".", "-.5", "+5.e3", "1e5", "1e", "1e+", "1e-5", "1E5", "e5",
	"1d5", "1,5", "1_000", "_1", "1__0", "1_", "0x1F", "0o17", "0b101", "0x", "-0x10", "0xg", "0x1p3", "00000000000000000000000000012", "32767", "32768", "-32768", "-32769",
	"2147483647", "2147483648", "-2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
	"-9223372036854775809", "999999999999999999999", "99999999999999999999x", "1e400", "1e-400", "nan", "NaN", "-nan", "inf", "-inf", "Infinity", "infinity", "-Infinity", "+infinity", "infinit", "nano",
	"t", "T", "tr", "TRUE", "truex", "f", "fals", "y", "ye", "yes", "n", "no", "o", "of", "off", "on", "ON", "2", "01", " t ", "tRuE",
	"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
	"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0ee-b-c999c0b4ef8bb6d6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11-", " a0eebc999c0b4ef8bb6d6bb9bd380a11",
	"2026-02-28", "2026-02-29", "2024-02-29", "2000-02-29", "1900-02-29", "2026-02-30", "2026-13-01", "2026-00-10", "2026-01-00", "2026-04-31", "0000-01-01", "0001-01-01", "9999-12-31",
	"0001-02-29 BC", "0005-02-29 BC", "2026-02-30 BC", "2026-02-28 10:00", "2026-02-30 10:00", "2026-02-30T10:00:00Z", "2026-02-28T10:00:00+02", "2026-02-28 25:00", "2026-02-28 24:00:00", "2026-02-28 10:00:00.123456789", "2026-02-28 1", "2026-02-28 10:00 pm",
	"2026-2-3", "20260203", "02/03/2026", "3 Feb 2026", "J2451187", "now", "NOW", "today", "tomorrow", "yesterday", "epoch", "EPOCH", "allballs", "-infinity", "abc", "n/a", "-", "monday", "feb", "invalid", "current", "now UTC", "today zulu", "unknown", "-now", "2now", "nowish", "noon",
	"abcd", "abc ", "abc  ", "abc d", "äöü", "äöüß", "日本語", "日本語 ", "日本語語", "abcdef", "abcde ", "99", "100", "10:00",
}

// TestRefuse holds the checks to their promise: what they refuse the server refuses too, in the same class.
func TestRefuse(t *testing.T) {
	t.Parallel()
	s := setup(t, valueSchema)
	var list []string
	for i, typ := range valueTypes {
		list = append(list, fmt.Sprintf("c%d %s", i, typ))
	}
	s.exec("CREATE TABLE v (" + strings.Join(list, ", ") + ")")
	columns := s.describe("v").Columns

	values := append([]string{}, seeds...)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 700 {
		values = append(values, mutate(rng, seeds[rng.IntN(len(seeds))]))
	}
	refused := map[kind]int{}
	for i, typ := range valueTypes {
		c := &columns[i]
		for _, v := range values {
			code := refuse(kindOf(c), maxLength(c), []byte(v))
			if code == "" {
				continue
			}
			refused[kindOf(c)]++
			// As COPY does it: a cast to varchar(n) would cut the value off.
			err := s.input(typ, v)
			if err == "" {
				t.Errorf("%s %q: refused with %s, the server accepts it", typ, v, code)
			} else if err[:2] != code[:2] {
				t.Errorf("%s %q: refused with %s, by the server with %s", typ, v, code, err)
			}
		}
	}
	for k := kindInt2; k <= kindVarchar; k++ {
		if refused[k] == 0 {
			t.Errorf("kind %d refused nothing", k)
		}
	}
}

// input gives a value to the input function of a type and returns the SQLSTATE, or "".
func (s *bundle) input(typ, v string) string {
	s.t.Helper()
	if _, err := s.conn.Exec(s.ctx, "CREATE TEMP TABLE IF NOT EXISTS "+pgx.Identifier{"in " + typ}.Sanitize()+" (v "+typ+")"); err != nil {
		s.t.Fatal(err)
	}
	buf, code := escape(nil, []byte(v))
	if code != "" {
		s.t.Fatalf("%q is not text", v)
	}
	_, err := s.conn.PgConn().CopyFrom(s.ctx, strings.NewReader(string(buf)+"\n"), "COPY "+pgx.Identifier{"in " + typ}.Sanitize()+" FROM STDIN")
	if err != nil {
		return sqlState(err)
	}
	return ""
}

func mutate(rng *rand.Rand, v string) string {
	const letters = "0123456789+-._eExXoObB :/TZtfyn{}aAé\t\v"
	r := []rune(v)
	for range 1 + rng.IntN(3) {
		c := []rune(letters)[rng.IntN(len([]rune(letters)))]
		switch i := rng.IntN(len(r) + 1); rng.IntN(3) {
		case 0:
			r = append(r[:i], append([]rune{c}, r[i:]...)...)
		case 1:
			if i < len(r) {
				r[i] = c
			}
		default:
			if i < len(r) {
				r = append(r[:i], r[i+1:]...)
			}
		}
	}
	return string(r)
}

func TestRefuseCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind  kind
		value string
		want  string
	}{
		{kindInt4, "12", ""}, {kindInt4, "2147483648", codeOutOfRange}, {kindInt4, "-2147483648", ""}, {kindInt4, "abc", codeBadText},
		{kindInt4, "0x10", ""}, {kindInt4, "1_000", ""}, {kindInt4, "1.0", codeBadText}, {kindInt4, "", codeBadText},
		{kindInt8, "9223372036854775807", ""}, {kindInt8, "9223372036854775808", codeOutOfRange},
		{kindNumber, "1.5e3", ""}, {kindNumber, "NaN", ""}, {kindNumber, "1,5", codeBadText}, {kindNumber, "1e", codeBadText},
		{kindBool, "TRUE", ""}, {kindBool, "o", codeBadText}, {kindBool, "maybe", codeBadText},
		{kindDate, "2026-02-30", codeDatetimeOver}, {kindDate, "2024-02-29", ""}, {kindDate, "30.02.2026", ""}, {kindDate, "unknown", codeBadDatetime}, {kindDate, "now", ""},
		{kindTimestamp, "2026-02-30 10:00", codeDatetimeOver}, {kindTimestamp, "0001-02-29 10:00 BC", ""},
		{kindVarchar, "äöü", ""}, {kindVarchar, "abcd", codeTooLong}, {kindVarchar, "abc   ", ""},
	}
	for _, tt := range tests {
		if got := refuse(tt.kind, 3, []byte(tt.value)); got != tt.want {
			t.Errorf("kind %d, %q: %q, want %q", tt.kind, tt.value, got, tt.want)
		}
	}
}

func FuzzRefuse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		for k := kindOther; k <= kindVarchar; k++ {
			if code := refuse(k, 3, v); code != "" && code[:2] != "22" {
				t.Errorf("kind %d, %q: %s", k, v, code)
			}
		}
	})
}
