package importjob

import (
	"cmp"
	"slices"

	"github.com/tidemill/tidemill/config"
)

type importDefinition struct {
	Table            config.Table
	Format           string
	Header           bool
	Delimiter, Quote byte
	Encoding         string `json:",omitempty"`
	Compression      string `json:",omitempty"`
	Comment          byte   `json:",omitempty"`
	Ragged           string `json:",omitempty"`
	Columns          []Column
	Set              []SetRule
	Match            []string
	OnConflict       string
	Mode             string `json:",omitempty"`
}

// Identity is the table, how the file is written, and what becomes of its rows.
func (i *Config) Identity() (string, any) {
	def := importDefinition{
		Table: i.Table, Format: i.Format, Header: i.Header, Delimiter: i.Delimiter, Quote: i.Quote,
		Encoding: i.Encoding, Compression: i.Compression, Comment: i.Comment,
		Columns: sortedColumns(i.Columns),
		Set: slices.SortedFunc(slices.Values(i.Set), func(a, b SetRule) int {
			return cmp.Compare(a.Column, b.Column)
		}),
		Match:      slices.Sorted(slices.Values(i.Match)),
		OnConflict: i.OnConflict,
	}
	if i.Ragged != RaggedReject {
		def.Ragged = i.Ragged
	}
	if i.Mode != Chunked {
		def.Mode = i.Mode
	}
	return "Import", def
}

// Limits are the other fields, and where the files are.
func (i *Config) Limits() []any {
	limits := []any{i.RejectLimit, i.MaxRecord, i.Mode, i.Writers}
	if url := i.Source.URL; url != "" {
		limits = append(limits, url)
	}
	return limits
}

func sortedColumns(columns []Column) []Column {
	out := slices.SortedFunc(slices.Values(columns), func(a, b Column) int {
		return cmp.Compare(a.Target, b.Target)
	})
	for i := range out {
		out[i].NullIf = slices.Sorted(slices.Values(out[i].NullIf))
		out[i].TrueIf, out[i].FalseIf = slices.Sorted(slices.Values(out[i].TrueIf)), slices.Sorted(slices.Values(out[i].FalseIf))
	}
	return out
}
