package tidemill

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/workers"
)

const settingsYAML = `
queues: {default: 10, low: 1}
retry: {max_attempts: 1}
jobs:
  letter: {kind: letter, queue: low}
  load: {kind: import, table: public.people, match: [id], on_conflict: update, encoding: utf-8}
  atomic: {kind: import, table: public.people, match: [id], on_conflict: update, mode: atomic, encoding: utf-8}
  dump: {kind: export, table: public.people, chunk: 1}
  snapshot: {kind: export, table: public.people, consistency: snapshot}
  lines: {kind: export, format: ndjson, query: "SELECT id, name FROM public.people WHERE id <> :id", params: {id: text}, order_by: [id], chunk: 1}
  walk: {kind: each, query: "SELECT id, name, tags FROM public.people", order_by: [id], enqueue: {job: letter}}
  tidy: {kind: cleanup, archive: csv, rules: [{table: public.people, column: at, expired: true}]}
  read: {kind: sql, statement: "SELECT name FROM public.people WHERE id = :id", params: {id: text}}
  hook: {kind: http, url: "${HOOK}/ok"}
  refused: {kind: http, url: "${HOOK}/no"}
  say: {kind: command, argv: [printf, "%s", "${WORD}"]}
  cry: {kind: command, argv: [sh, -c, "echo \"$WORD\" >&2; exit 3"], env: {WORD: "${WORD}"}}
`

type settingsBundle struct {
	*namesBundle
	held, word string // a text that the database can hold, and one that it cannot
	shown      string // the latter, as it is shown
}

// setupSettings makes an app in the database of the URL and a table with rows; word is what the world outside says.
func setupSettings(t *testing.T, url, held, word, shown string) *settingsBundle {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, `{"word": "`+word+`"}`)
	}))
	t.Cleanup(server.Close)
	values := map[string]string{"DATABASE_URL": url, "HOOK": server.URL, "WORD": word, "STORAGE": "file://" + t.TempDir()}
	cfg, err := config.Parse("tidemill.yaml", []byte("database: {url: \"${DATABASE_URL}\"}\nmetrics: {listen: \"\"}\nstorage: {url: \"${STORAGE}\"}\n"+settingsYAML),
		&config.Opts{Kinds: workers.Configs(), Lookup: func(name string) (string, bool) { value, ok := values[name]; return value, ok }})
	if err != nil {
		t.Fatal(err)
	}
	app, err := New(t.Context(), cfg, &Opts{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	river.AddWorker(app.Workers, &letterWorker{})
	if _, err := app.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &settingsBundle{&namesBundle{app: app}, held, word, shown}
	b.exec(t, `CREATE TABLE public.people (id text PRIMARY KEY, name text, tags text[], at timestamptz); CREATE INDEX ON public.people (at)`)
	workOn(t, app, "default")
	return b
}

func (b *settingsBundle) load(t *testing.T, job, text string) *batch.Info {
	t.Helper()
	started, err := b.app.ImportFile(t.Context(), job, "file.csv", strings.NewReader(text), ImportOpts{})
	if err != nil {
		t.Fatal(err)
	}
	return waitEnd(t, b.app, started.ID)
}

// allKinds runs a job of each kind and holds what it did against what it must.
func (b *settingsBundle) allKinds(t *testing.T) {
	t.Helper()
	same := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	const head = "id,name,tags,at\n"
	first := `a\b,` + b.held + `,"{NULL,x\\y}",2026-01-01` + "\n"
	info := b.load(t, "load", head+first+`c,`+b.held+" 2,,\n")
	same("status of the import", batch.Succeeded, info.Status)
	info = b.load(t, "atomic", head+first+`c,`+b.held+" 3,,\n")
	same("status of the atomic import", batch.Succeeded, info.Status)
	same("rows", `a\b|`+b.held+`|1|2026-01-01 / c|`+b.held+` 3||`,
		must(ask[string](t, b.app, `SELECT string_agg(concat_ws('|', id, name, coalesce(array_position(tags, NULL)::text, ''), coalesce(to_char(at, 'YYYY-MM-DD'), '')), ' / ' ORDER BY id) FROM public.people`)))
	if b.shown != b.word {
		info = b.load(t, "load", head+"d,"+b.word+",,\ne,"+b.held+",,\n")
		same("status of the import of what cannot be held", batch.SucceededWithRejects, info.Status)
		same("rejected", int64(1), info.Counters.Rejected)
		b.exec(t, `DELETE FROM public.people WHERE id = 'e'`)
	}

	for _, job := range []string{"dump", "snapshot"} {
		got := b.file(t, job)
		same(job, 3, strings.Count(got, "\n"))
		if !strings.Contains(got, `a\b,`+b.held+`,"{NULL,`) || !strings.Contains(got, "c,"+b.held+" 3,") {
			t.Errorf("%s: %q", job, got)
		}
	}
	id := startEach(t, b.app, "lines", Params{"id": `a\b`})
	b.done(t, id)
	var file bytes.Buffer
	if err := b.app.Download(t.Context(), id, &file, nil); err != nil {
		t.Fatal(err)
	}
	same("lines", `{"id":"c","name":"`+b.held+` 3"}`+"\n", file.String())

	b.done(t, startEach(t, b.app, "walk", nil))
	same("children", `[{"id": "a\\b", "name": "`+b.held+`", "tags": [null, "x\\y"]}, {"id": "c", "name": "`+b.held+` 3", "tags": null}]`,
		must(ask[string](t, b.app, `SELECT jsonb_agg(args ORDER BY args->>'id')::text FROM tidemill.river_job WHERE kind = 'letter'`)))
	for _, run := range []struct {
		job    string
		params Params
		status batch.Status
		in     string // the result, or the error
	}{
		{"read", Params{"id": "c"}, batch.Succeeded, b.held + " 3"},
		{"hook", nil, batch.Succeeded, b.shown},
		{"refused", nil, batch.Failed, b.shown},
		{"say", nil, batch.Succeeded, b.shown},
		{"cry", nil, batch.Failed, b.shown},
	} {
		info := waitEnd(t, b.app, startEach(t, b.app, run.job, run.params))
		text := string(info.Result)
		if info.Error != nil {
			text += *info.Error
		}
		same("status of "+run.job, run.status, info.Status)
		if !strings.Contains(text, run.in) {
			t.Errorf("%s: %s, want %s", run.job, text, run.in)
		}
	}
	b.done(t, startEach(t, b.app, "tidy", nil))
	same("rows that are left", "c", must(ask[string](t, b.app, `SELECT string_agg(id, ' ') FROM public.people`)))
}

// What a database cannot hold is a reject where it was to be a row, and is shown otherwise where it is something to read.
func TestDatabasesOfOtherEncodings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ encoding, held, word, shown string }{
		{"UTF8", "Zoë 田中 🦀", "… 🦀", "… 🦀"},
		{"LATIN1", "Zoë", "café 田 …", "café <U+7530> <U+2026>"},
		{"EUC_JP", "Zoë 田中", "田 🦀", "田 <U+1F980>"},
		{"SQL_ASCII", "Zoë 田中 🦀", "… 🦀", "… 🦀"},
	} {
		t.Run(tt.encoding, func(t *testing.T) {
			t.Parallel()
			setupSettings(t, testdb.Encoded(t, tt.encoding), tt.held, tt.word, tt.shown).allKinds(t)
		})
	}
}

// A database or a role may have any settings, for other programs.
func TestSettingsOfOthers(t *testing.T) {
	t.Parallel()
	const database, role = "DATABASE %s", "ROLE CURRENT_USER IN DATABASE %s"
	for _, tt := range []struct{ of, setting, value string }{
		{database, "client_encoding", "'latin1'"},
		{database, "standard_conforming_strings", "off"},
		{database, "default_transaction_isolation", "'serializable'"},
		{database, "default_transaction_isolation", "'repeatable read'"},
		{role, "default_transaction_read_only", "on"},
		{database, "statement_timeout", "1"},
		{role, "statement_timeout", "1"},
		{database, "lock_timeout", "1"},
		{database, "search_path", "''"},
		{database, "search_path", "shadow, pg_catalog"},
		{database, "array_nulls", "off"},
		{database, "row_security", "off"},
	} {
		t.Run(tt.setting+" "+tt.value, func(t *testing.T) {
			t.Parallel()
			url := testdb.URL(t)
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			name := pgx.Identifier{conn.Config().Database}.Sanitize()
			_, err = conn.Exec(t.Context(), shadows+fmt.Sprintf("ALTER "+tt.of+" SET %s = %s", name, tt.setting, tt.value))
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			setupSettings(t, url, "Zoë 田中", `…`, `…`).allKinds(t)
		})
	}
}

// shadows are functions that would be taken for the server's own if their schema came first.
const shadows = `CREATE SCHEMA shadow;
	CREATE FUNCTION shadow.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'another now()'; END $$;
	CREATE FUNCTION shadow.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'another to_jsonb()'; END $$;
	CREATE FUNCTION shadow.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'another set_config()'; END $$;
	`
