package importjob

import (
	"slices"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

// importFields are the further fields of a job of kind import.
func fields() field.Table[Config] {
	return field.Table[Config]{
		field.Row("source", sourceURL{}, "", "Files that others put somewhere: `file:///srv/drop/*.csv`, or `s3://bucket/drop/*.csv?region=eu-central-1`. Wildcards are `*`, `?` and `[a-z]`, within a segment; `*/*.csv` looks into each directory. Each start of the job, by a schedule, by hand, by SQL or after another job, scans for new files, and starts a run for each. Names that begin with a dot or end in `.tmp` or `.part` are left alone. Without `source` a file is given at the start. Not with `unique`.",
			func(i *Config) *Source { return &i.Source }),
		field.Row("table", config.TableName{}, "", "The table to fill. A name with capitals or other characters is in double quotes: `'\"My Schema\".\"T\"'`.",
			func(i *Config) *config.Table { return &i.Table }).Require(),
		field.Row("format", field.Choice{config.CSV, config.NDJSON}, config.CSV, "Format of the file; `ndjson` is a JSON object on each line, whose members are its fields.",
			func(i *Config) *string { return &i.Format }),
		field.Row("encoding", field.Choice{"utf-8", "utf-16le", "utf-16be", "shift_jis", "euc-jp", "iso-8859-1", "windows-1252"}, "", "How characters are written. `shift_jis` is what Windows writes by that name.",
			func(i *Config) *string { return &i.Encoding }).Inherit("found out: by a byte order mark, or by what its bytes make most likely; a file that leaves it too uncertain is refused"),
		field.Row("compression", field.Choice{"none", "gzip", "zstd"}, "", "How the file is compressed.",
			func(i *Config) *string { return &i.Compression }).Inherit("found out"),
		field.Row("header", field.Boolean{}, "true", "Whether the first record names the fields. Of `csv`.",
			func(i *Config) *bool { return &i.Header }),
		field.Row("delimiter", field.Character{}, "", "What separates the fields of a record. Of `csv`.",
			func(i *Config) *byte { return &i.Delimiter }).Inherit("found out: comma, semicolon, tab or `|`"),
		field.Row("quote", field.Character{}, "", "What encloses a field that holds delimiters or line ends. Of `csv`.",
			func(i *Config) *byte { return &i.Quote }).Inherit("found out: `\"` or `'`"),
		field.Row("comment", field.Character{}, "", "Lines that begin with this are skipped. Of `csv`.",
			func(i *Config) *byte { return &i.Comment }),
		field.Row("ragged", field.Choice{RaggedReject, RaggedPad}, RaggedReject, "What to do with a record of more or fewer fields than the first: put it aside, or take missing fields for empty and leave out empty ones at its end.",
			func(i *Config) *string { return &i.Ragged }),
		field.Row("columns", columns{field.Section[Column]{Fields: columnFields()}}, "", "The columns of the table and the fields of the file that fill them. A column without value takes the field of its own name. Without header a field is a number, from 1, and columns without any take the fields in order.",
			func(i *Config) *[]Column { return &i.Columns }).Inherit("the names in the header"),
		field.Row("set", setRules{}, "", "Columns that the file does not have: `now on insert` stamps new rows, `now on change` also rows that an update really changes.",
			func(i *Config) *[]SetRule { return &i.Set }),
		field.Row("match", field.Texts{Item: "columns"}, "", "Rows are the same when these columns are equal; needs a unique index on exactly these. Without it every row is inserted.",
			func(i *Config) *[]string { return &i.Match }),
		field.Row("on_conflict", field.Choice{Skip, Update, Reject}, Reject, "What to do with a row whose `match` is in the table already: leave the table's row, update it, or reject the file's row. `update` needs `match`.",
			func(i *Config) *string { return &i.OnConflict }),
		field.Row("reject_limit", field.Section[RejectLimit]{Fields: rejectLimitFields()}, "", "A run that rejects more than this fails.",
			func(i *Config) *RejectLimit { return &i.RejectLimit }),
		field.Row("max_record", field.Size{Min: 1 << 10, Max: 64 << 20}, "8MiB", "Longest record; a longer one is rejected.",
			func(i *Config) *int { return &i.MaxRecord }),
		field.Row("again", field.Choice{AgainChanged, AgainAlways}, AgainChanged, "What to do with a file of the same content and definition as this job's last import: `changed` imports it only if the table has been emptied since; `always` imports it each time. A file that was imported before the last one is imported in any case.",
			func(i *Config) *string { return &i.Again }),
		field.Row("mode", field.Choice{Chunked, Atomic}, Chunked, "`chunked` commits as it goes: an import that is interrupted resumes where it was, and one that fails keeps what it has imported. `atomic` commits all rows at its end or none: others see all of them at once, an import that is interrupted starts over, and its transaction is as long as the import.",
			func(i *Config) *string { return &i.Mode }),
		field.Row("writers", field.Integer[int]{Min: 1, Max: 8}, "1", "Chunks that are written at the same time, each over a connection of its own; they are committed in the order of the file, so that no row depends on it but the values of sequences. Of `mode: chunked`.",
			func(i *Config) *int { return &i.Writers }),
	}
}

func rejectLimitFields() field.Table[RejectLimit] {
	return field.Table[RejectLimit]{
		field.Row("rows", field.Integer[int64]{Min: 0, Max: 1e15}, "1000", "Most rows that may be rejected. In `mode: atomic` none may, unless this says so.",
			func(l *RejectLimit) *int64 { return &l.Rows }),
		field.Row("ratio", field.Ratio{}, "100%", "Greatest share of the rows read that may be rejected; `100%` is no limit.",
			func(l *RejectLimit) *float64 { return &l.Ratio }),
	}
}

// columnFields are the long form of a column; see columns.
func columnFields() field.Table[Column] {
	return slices.Concat(field.Table[Column]{
		field.Row("field", fieldRef{}, "", "Name of the field in the header, or without header its number.",
			func(c *Column) *Column { return c }).Inherit("the name of the column"),
		field.Row("trim", field.Boolean{}, "false", "Remove white space on both ends.",
			func(c *Column) *bool { return &c.Trim }),
		field.Row("null_if", field.Texts{Item: "texts"}, "", "Texts that stand for nothing: they become NULL, or the `default`.",
			func(c *Column) *[]string { return &c.NullIf }),
		field.Row("default", literal{}, "", "What the column gets, written as PostgreSQL reads it, where the file has nothing: an empty field without quotes, a text of `null_if`, a field that `ragged: pad` adds, a member that an NDJSON object lacks, and with a `type` other than `text` also an empty field in quotes. A `null` of NDJSON stays NULL. A field that the whole file lacks is an error all the same, unless it is `optional`.",
			func(c *Column) **string { return &c.Default }),
		field.Row("optional", field.Boolean{}, "false", "A file may lack the field: the column is NULL then, or the `default`, in each row. Without this a field that the header does not have, and a member that no line of NDJSON has, fails the run before it writes anything.",
			func(c *Column) *bool { return &c.Optional }),
	}, formatFields(func(c *Column) *ValueFormat { return &c.ValueFormat }, valueTypes()), arrayFields())
}
