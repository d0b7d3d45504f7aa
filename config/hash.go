package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// definition holds what changes the meaning of a job and nothing else. Version
// changes when the encoding does, since two versions of Tidemill may run at once.
type definition struct {
	Version int
	Kind    string
	Import  *importDefinition `json:",omitempty"`
	Args    any               `json:",omitempty"`
}

type importDefinition struct {
	Table            Table
	Format           string
	Header           bool
	Delimiter, Quote byte
	Columns          []Column
	Set              []SetRule
	Match            []string
	OnConflict       string
}

// Hash is the version of the definition, as a SHA-256 in hexadecimal: runs of jobs
// with different hashes are never the same run. It covers what changes the meaning
// (for an import: table, format, header, delimiter, quote, columns, set, match and
// on_conflict; for a kind of the user's own: kind and args), not how the job is run
// (queue, priority, retry, stall, limits). The order in which columns, rules and
// arguments are written does not matter, nor does the name of the job.
func (j *Job) Hash() string {
	def := definition{Version: 1, Kind: j.Kind}
	if i := j.Import; i != nil {
		def.Import = &importDefinition{
			Table: i.Table, Format: i.Format, Header: i.Header, Delimiter: i.Delimiter, Quote: i.Quote,
			Columns: sortedColumns(i.Columns),
			Set: slices.SortedFunc(slices.Values(i.Set), func(a, b SetRule) int {
				return cmp.Compare(a.Column, b.Column)
			}),
			Match:      slices.Sorted(slices.Values(i.Match)),
			OnConflict: i.OnConflict,
		}
	}
	if len(j.Args) > 0 {
		dec := json.NewDecoder(bytes.NewReader(j.Args))
		dec.UseNumber() // as written: 1e400 and long integers stay what they are
		if err := dec.Decode(&def.Args); err != nil {
			def.Args = string(j.Args) // set by hand and not JSON; River refuses it later
		}
	}
	data, err := json.Marshal(def) // sorts the keys of Args
	if err != nil {
		panic("config: hash of a definition: " + err.Error()) // plain data always marshals
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func sortedColumns(columns []Column) []Column {
	out := slices.SortedFunc(slices.Values(columns), func(a, b Column) int {
		return cmp.Compare(a.Target, b.Target)
	})
	for i := range out {
		out[i].NullIf = slices.Sorted(slices.Values(out[i].NullIf))
	}
	return out
}
