package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
)

func TestReplacedValues(t *testing.T) {
	t.Parallel()
	opts := lookup(map[string]string{
		"N": "7", "NOT": "x", "WAIT": "3s", "YES": "true", "NULL": "null", "EVIL": "a: {b: 1}\nc: d", "EMPTY": "", "RATIO": "5%", "SIZE": "2KiB", "TAB": "tab",
	})
	_, err := config.Parse("", []byte(`
database: {url: "${NO:-}", schema: "s${N}"}
queues: {default: "${N}", "${N}": 1}
`), opts)
	want := `3:27: queues.${N}: "${N}" is not a queue name (lower-case letters and digits, joined by single - or _, at most 64)`
	if err == nil || err.Error() != want {
		t.Errorf("replacement in a key: %v, want %s", err, want)
	}
	c, err := config.Parse("", []byte(`
database: {url: "${NO:-}", schema: "s${N}"}
queues: {default: "${N}"}
drain_timeout: ${WAIT}
retry: {jitter: "${RATIO}"}
jobs:
  a:
    kind: own
    args: {quoted: "${N}", true: "x"}
  b:
    kind: own
    args:
      bare: ${N}
      flag: ${YES}
      none: ${NULL}
      evil: ${EVIL}
      empty: ${EMPTY}
      key${N}: 1
  c:
    kind: import
    table: ${NOT}
    header: "${YES}"
    delimiter: ${TAB}
    max_record: ${SIZE}
    columns: {a: "${N}"}
    match: ["${NO:-a}"]
`), opts)
	if err != nil {
		t.Fatal(err)
	}
	if c.Database.URL != "" || c.Database.Schema != "s7" || c.Queues["default"].Workers != 7 || c.DrainTimeout.String() != "3s" || c.Retry.Jitter != 0.05 {
		t.Errorf("config %+v", c)
	}
	for name, want := range map[string]string{
		"a": `{"quoted":"7","true":"x"}`,
		"b": `{"bare":7,"flag":true,"none":"null","evil":"a: {b: 1}\nc: d","empty":"","key${N}":1}`,
	} {
		if got := string(c.Jobs[name].Args); got != want {
			t.Errorf("args of %s\n got %s\nwant %s", name, got, want)
		}
	}
	i := c.Jobs["c"].Spec.(*importjob.Config)
	if i.Table.Name != "x" || !i.Header || i.Delimiter != '\t' || i.MaxRecord != 2048 || i.Columns[0].Field != "7" || i.Match[0] != "a" {
		t.Errorf("import %+v", i)
	}
}

// What came from outside may be secret: messages show the name instead.
func TestMessagesHideReplacedValues(t *testing.T) {
	t.Parallel()
	opts := lookup(map[string]string{"S": "hunter2"})
	src := `
database: {url: "mysql://${S}", schema: "A${S}"}
storage: {url: "${S}"}
metrics: {listen: "${S}"}
queues: {default: "${S}"}
retry: {max_attempts: "${S}", delay: "${S}", backoff: "${S}", jitter: "${S}"}
jobs:
  a: {kind: import, table: "A ${S}", header: "${S}", delimiter: "${S}", max_record: "${S}", match: "${S}", columns: "${S}", set: {a: "${S}"}}
  b: {kind: "a b ${S}"}
`
	got := messages(t, src, opts)
	got = append(got, messages(t, `
jobs:
  a: {kind: import, table: "t", queue: "${S}", match: ["${S}", "${S}"], header: false, columns: {a: "${S}", b: {field: "${S}"}}}
  b: {kind: "${S}", table: x}
  c: {kind: import, table: "t", match: ["${S}", "${S}"], columns: {b}}
  d: {kind: import, table: "t", columns: {a: {type: number, decimal: "${S}"}, b: {type: date, layout: [iso, "${S}"]}, c: {type: number, default: "${S}"}}}
`, opts)...)
	if len(got) != 26 {
		t.Errorf("%d errors, want 26:\n%s", len(got), strings.Join(got, "\n"))
	}
	if all := strings.Join(got, "\n"); strings.Contains(all, "hunter2") {
		t.Errorf("a secret is shown:\n%s", all)
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	src := `
database: {url: "${DATABASE_URL}"}
queues: {default: "${WORKERS}", other: 3}
jobs:
  a: {kind: import, table: "${TABLE}", header: "${H}", columns: {a: "${A}", b: 2}, match: ["${K}"], queue: "${Q}", on_conflict: "${C}"}
  b: {kind: "${KIND}", retry: {delay: "${D}"}, table: x}
`
	if got := messages(t, src, lookup(nil)); len(got) != 10 {
		t.Errorf("%d errors, want one for each of 10 names:\n%s", len(got), strings.Join(got, "\n"))
	}
	c, err := config.Parse("", []byte(src), &config.Opts{Kinds: allKinds(), Lookup: lookup(nil).Lookup, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	if c.Database.URL != "${DATABASE_URL}" || c.Jobs["a"].Spec.(*importjob.Config).Table.Name != "${TABLE}" || c.Queues["other"].Workers != 3 {
		t.Errorf("config %+v", c)
	}
	bad := messages(t, "jobs: {a: {kind: import, table: t, queue: lwo, match: [\"${K}\"], prioriti: 1}}", &config.Opts{Kinds: allKinds(), Lookup: lookup(nil).Lookup, Offline: true})
	want := []string{
		`1:36: jobs.a.queue: "lwo" is not a configured queue (did you mean low?)`,
		`1:65: jobs.a.prioriti: unknown field (did you mean priority?)`,
	}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Errorf("other problems offline (-want +got):\n%s", diff)
	}
}
