package bulk

import "testing"

func TestCopyContext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, where, table string
		row                int
		column             string
	}{
		{"english", "COPY users, line 3, column age: \"abc\"", "users", 3, "age"},
		{"english, no column", "COPY users, line 12: \"1\tann\"", "users", 12, ""},
		{"english, no content", "COPY users, line 1001", "users", 1001, ""},
		{"null", "COPY users, line 3, column age: null input", "users", 3, "age"},
		{"german", "COPY users, Zeile 3, Spalte age: »abc«", "users", 3, "age"},
		{"japanese", "COPY users、行 3、列 age: \"abc\"", "users", 3, "age"},
		{"french", "COPY users, ligne 3, colonne age : « abc »", "users", 3, "age"},
		{"russian", "COPY users, строка 3, столбец age: \"abc\"", "users", 3, "age"},
		{"chinese", "COPY users, 行 3, 列 age: \"abc\"", "users", 3, "age"},
		{"korean", "COPY users, 3번째 줄, age 열: \"abc\"", "users", 3, ""},
		{"other order", "users 3 (COPY)", "users", 3, ""},
		{"other order with COPY first", "in COPY (users), 7", "users", 7, ""},
		{"digits in the name", "COPY t2026_01, line 5", "t2026_01", 5, ""},
		{"digits in a longer name", "COPY t2, line 5", "t", 0, ""},
		{"comma and number in the name", "COPY a, line 9, line 4", "a, line 9", 4, ""},
		{"newline in the value", "COPY users, line 3, column age: \"x\nCOPY users, line 1\"", "users", 3, "age"},
		{"trigger", "PL/pgSQL function users() line 8 at RAISE\nCOPY users, line 3: \"1\"", "users", 3, ""},
		{"column name with a blank", "COPY users, line 3, column my age: \"abc\"", "users", 3, "my age"},
		{"no number", "COPY users", "users", 0, ""},
		{"line zero", "COPY users, line 0", "users", 0, ""},
		{"huge", "COPY users, line 99999999999999999999999", "users", 0, ""},
		{"empty", "", "users", 0, ""},
		{"other context", "SQL statement \"SELECT 1 FROM ONLY users x\"", "users", 0, ""},
	}
	columns := []*Column{{Name: "age"}, {Name: "my age"}, {Name: "name"}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			row, _, ok := copyContext(tt.where, tt.table)
			if row != tt.row || ok != (tt.row > 0) {
				t.Errorf("row = %d, %v, want %d", row, ok, tt.row)
			}
			if got := contextColumn(tt.where, columns); got != tt.column {
				t.Errorf("column = %q, want %q", got, tt.column)
			}
		})
	}
}

func FuzzCopyContext(f *testing.F) {
	f.Add("COPY users, line 3, column age: \"abc\"", "users")
	f.Add("COPY users、行 3", "users")
	f.Fuzz(func(t *testing.T, where, table string) {
		if row, _, ok := copyContext(where, table); ok != (row > 0) {
			t.Errorf("row %d, ok %v", row, ok)
		}
	})
}
