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
	"github.com/tidemill/tidemill/workers/kind"
)

// preview is what is shown, while it is made.
type preview struct {
	kind.Preview
	altered Altered
}

// PreviewFile reads the head of a file and tries its first rows on the table, in a transaction that is rolled back. Sequences
// that columns take their defaults from do not move; those that only a trigger or a function knows do. The errors are those
// with which the import would fail at once.
func PreviewFile(ctx context.Context, pool *pgxpool.Pool, def *Config, opts kind.PreviewOpts) (*kind.Preview, error) {
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
	p := &preview{Preview: kind.Preview{
		Format: def.Format, Encoding: note.Encoding, Compression: note.Compression, Delimiter: note.Delimiter, Found: note.Found,
		Unused: []string{}, Rejects: []batch.Reject{},
	}}
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
	err = p.try(ctx, pool, plan.spec.Trial, writer, chunk, source.first)
	p.Preview.Altered = p.altered
	return &p.Preview, err
}

// read parses the first rows, and shows the first that can be read.
func (p *preview) read(parser *importParser, chunk *importChunk, opts kind.PreviewOpts) error {
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
func (p *preview) show(plan *importPlan, record *rowio.Record) {
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

func (p *preview) mapping(plan *importPlan, table *bulk.Table, source *importSource) {
	for i, column := range plan.columns {
		field := kind.PreviewField{Column: plan.spec.Columns[i]}
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
func (p *preview) try(ctx context.Context, pool *pgxpool.Pool, trial *bulk.Trial, writer *bulk.Writer, chunk *importChunk, from importCursor) error {
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
			p.altered = part.cursor.Altered
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
