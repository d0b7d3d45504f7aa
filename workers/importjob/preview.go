package importjob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/internal/rowio"
	"github.com/tidemill/tidemill/internal/textin"
)

// ImportPreview is what an import of a file would do.
type Preview struct {
	Format      string         `json:"format"`
	Encoding    string         `json:"encoding"`
	Compression string         `json:"compression"`
	Delimiter   string         `json:"delimiter,omitempty"`
	Found       string         `json:"found,omitempty"` // what was found out about the file, and why
	Fields      []PreviewField `json:"fields"`
	Unused      []string       `json:"unused"`            // fields of the file that go nowhere
	Lacking     []string       `json:"lacking,omitempty"` // optional fields that the file does not have
	// Counters are those of the first rows, as many as Counters.Read says, had they been written.
	Counters batch.Counters `json:"counters"`
	Rejects  []batch.Reject `json:"rejects"`
	Altered  Altered        `json:"altered"` // of those rows
	// Rows is how many the file has; an estimate unless Whole.
	Rows  int64 `json:"rows"`
	Whole bool  `json:"whole"`
}

// PreviewField is where a field of the file goes.
type PreviewField struct {
	Field  string `json:"field"`
	Column string `json:"column"`
	Type   string `json:"type"`
	First  string `json:"first"` // its value in the first row
	// Value is what the column gets of it; nil for NULL, or if it is not written as the definition says.
	Value *string `json:"value"`
}

// PreviewOpts names the file of PreviewImport.
type PreviewOpts struct {
	Name string
	Size int64
	// Open gives the file's bytes from an offset on; it is called more than once.
	Open func(offset int64) (io.ReadCloser, error)
	// Rows is how many are tried; default 1,000.
	Rows int
}

// PreviewImport reads the head of a file and tries its first rows on the table, in a transaction that is rolled back. Sequences
// that columns take their defaults from do not move; those that only a trigger or a function knows do. The errors are those
// with which the import would fail at once.
func PreviewFile(ctx context.Context, pool *pgxpool.Pool, def *Config, opts PreviewOpts) (*Preview, error) {
	if opts.Rows <= 0 {
		opts.Rows = 1000
	}
	table, err := bulk.Describe(ctx, pool, def.Table.Schema, def.Table.Name)
	if err != nil {
		return nil, err
	}
	source, err := lookAt(ctx, importSource{name: opts.Name, def: def, open: textin.Source(opts.Open)}, table, nil)
	if err != nil {
		return nil, err
	}
	plan, err := planImport(def, table, source.names)
	if err != nil {
		return nil, err
	}
	if plan.spec.Trial, err = table.PlanTrial(ctx, pool, plan.spec); err != nil {
		return nil, err
	}
	writer, err := bulk.NewWriter(table, plan.spec)
	if err != nil {
		return nil, err
	}
	note := source.note(source.names)
	p := &Preview{
		Format: def.Format, Encoding: note.Encoding, Compression: note.Compression, Delimiter: note.Delimiter, Found: note.Found,
		Unused: []string{}, Rejects: []batch.Reject{},
	}
	stream, err := source.text(source.first.Offset)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	parser := &importParser{
		records: source.records(stream, source.first, plan.width), stream: stream, source: source, plan: plan, maxRejects: int64(opts.Rows),
	}
	chunk := newImportChunk(writer)
	p.mapping(plan, table, source)
	if err := p.read(parser, chunk, opts); err != nil {
		return nil, source.damaged(err)
	}
	p.Lacking = append(plan.lacking, source.lacking...)
	p.Unused = append(p.Unused, slices.Sorted(maps.Keys(parser.unused.Names))...)
	return p, p.try(ctx, pool, plan.spec.Trial, writer, chunk, source.first)
}

// read parses the first rows, and shows the first that can be read.
func (p *Preview) read(parser *importParser, chunk *importChunk, opts PreviewOpts) error {
	shown := false
	for parser.ordinal < int64(opts.Rows) {
		record, err := parser.records.Next()
		if errors.Is(err, io.EOF) {
			p.Whole = true
			break
		}
		if err != nil {
			return err
		}
		parser.ordinal++
		if !shown && record.Err == nil {
			shown = true
			p.show(parser.plan, record)
		}
		parser.add(chunk, record)
		chunk.end = importCursor{Offset: record.End, Line: record.NextLine, Ordinal: parser.ordinal}
	}
	p.Rows = parser.ordinal
	if !p.Whole && chunk.end.Offset > 0 {
		read := chunk.end.Offset
		if !parser.source.seeks() {
			read = parser.stream.Consumed()
		}
		p.Rows = max(p.Rows, int64(float64(parser.ordinal)*float64(opts.Size)/float64(max(read, 1))))
	}
	return nil
}

// show fills in the values of a record.
func (p *Preview) show(plan *importPlan, record *rowio.Record) {
	var row rowValues
	_ = row.read(plan, record.Fields) // told as a reject
	for i, column := range plan.columns {
		if column.field >= 0 {
			p.Fields[i].First = string(record.Fields[column.field].Value)
		}
		if i < len(row.values) && row.values[i] != nil {
			value := string(row.values[i])
			p.Fields[i].Value = &value
		}
	}
}

func (p *Preview) mapping(plan *importPlan, table *bulk.Table, source *importSource) {
	for i, column := range plan.columns {
		field := PreviewField{Column: plan.spec.Columns[i]}
		if column.field >= 0 {
			field.Field = cmp.Or(source.names[column.field], fmt.Sprint(column.field+1))
		}
		if column := table.Column(field.Column); column != nil {
			field.Type = column.TypeName
		}
		p.Fields = append(p.Fields, field)
	}
	p.Unused = append(p.Unused, plan.unused...)
}

// try writes the rows and takes it back.
func (p *Preview) try(ctx context.Context, pool *pgxpool.Pool, trial *bulk.Trial, writer *bulk.Writer, chunk *importChunk, from importCursor) error {
	undo := errors.New("undone")
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '5s'"); err != nil {
			return err
		}
		if err := trial.Begin(ctx, tx); err != nil {
			return err
		}
		for row, rejected := 0, 0; ; {
			result, err := writer.Write(ctx, tx, chunk.batch, row)
			if err != nil {
				return configError(err)
			}
			part := chunk.part(from, row, rejected, result)
			p.Counters = p.Counters.Plus(part.counters)
			p.Rejects = append(p.Rejects, part.rejects...)
			p.Altered = part.cursor.Altered
			if part.end {
				return undo
			}
			from, row, rejected = part.cursor, part.nextRow, part.nextReject
		}
	})
	if errors.Is(err, undo) {
		return nil
	}
	return err
}
