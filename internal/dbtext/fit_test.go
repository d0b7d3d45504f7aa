package dbtext

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/testdb"
)

func TestFit(t *testing.T) {
	t.Parallel()
	const text = "naïve 田中 … 🦀 \uFFFD"
	for _, tt := range []struct{ database, want string }{
		{"UTF8", text}, {"SQL_ASCII", text}, {"", text},
		{"LATIN1", "naïve <U+7530><U+4E2D> <U+2026> <U+1F980> <U+FFFD>"},
		{"EUC_JP", "naïve 田中 … <U+1F980> <U+FFFD>"},
		{"EUC_TW", "na<U+00EF>ve <U+7530><U+4E2D> <U+2026> <U+1F980> <U+FFFD>"},
	} {
		t.Run(tt.database, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, Fit(tt.database, text)); diff != "" {
				t.Error(diff)
			}
			raw, err := json.Marshal([]string{text, `\u7530 "`})
			if err != nil {
				t.Fatal(err)
			}
			for _, encoded := range []string{string(raw), `["na\u00efve \u7530\u4e2d \u2026 \ud83e\udd80 \ufffd", "\\u7530 \""]`} {
				var got []string
				if err := json.Unmarshal(FitJSON(tt.database, []byte(encoded)), &got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{tt.want, `\u7530 "`}, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// What is left as it is, the server can convert, for every character.
func TestServerHoldsWhatIsLeft(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), testdb.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, database := range []string{"LATIN1", "LATIN2", "LATIN9", "WIN1251", "WIN1252", "KOI8R", "EUC_JP"} {
		holds, left := holder(database), ""
		for r := rune(0x80); r <= 0xffff; r++ {
			if (r < 0xd800 || r > 0xdfff) && holds(r) {
				left += string(r)
			}
		}
		var length int
		if err := conn.QueryRow(t.Context(), "SELECT octet_length(convert_to($1, $2))", left, database).Scan(&length); err != nil || length < 90 {
			t.Errorf("%s: %d bytes, %v", database, length, err)
		}
	}
}
