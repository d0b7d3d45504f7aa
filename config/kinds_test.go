package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/kinds/commandjob"
	"github.com/tidemill/tidemill/internal/kinds/emailjob"
	"github.com/tidemill/tidemill/internal/kinds/httpjob"
	"github.com/tidemill/tidemill/internal/kinds/sqljob"
)

const withMail = "mail: {url: 'smtp://h', from: a@b.c, templates: ./mail}\n"

func TestParseEveryKind(t *testing.T) {
	t.Parallel()
	key := "whsec_" + strings.Repeat("Tide", 10)
	c, err := config.Parse("kinds.yaml", []byte(withMail+`
jobs:
  request:
    kind: http
    url: "https://app.example.com:8443/jobs?token=${TOKEN}"
    method: PUT
    headers: {authorization: "Bearer ${TOKEN}", X-Empty: ""}
    secret: ["${KEY}", sixteen bytes or more]
    timeout: 1h
    max_response: 0B
    params:
      user: integer
      since: {type: date, default: scheduled_for, doc: Day of the change.}
      filter: {type: json, default: {a: [1, null]}}
      flag: {type: boolean, default: "${FLAG}"}
      note: {type: text, default: null}
  program:
    kind: command
    argv: [bin/run, "", "two words"]
    dir: /srv/app
    env: {TOKEN: "${TOKEN}", _x1: ""}
    timeout: 30d
    max_output: 1KiB
    params: {}
  letter:
    kind: email
    to: "{{.email}}"
    cc: [Ann <ann@example.com>, "b@example.com, c@example.com"]
    bcc: [d@example.com]
    from: Me <me@example.com>
    reply_to: you@example.com
    subject: '{{if .a}}{{upper .a}}{{end}}'
    text: "Hello\n{{.name}}"
    html: <b>{{.name}}</b>
    attach: [report.csv, /tmp/x]
    timeout: 1s
  templated: {kind: email, to: a@example.com, subject: s, template: welcome_2}
  statement:
    kind: sql
    statement: "SELECT :a::int, ':b'"
    timeout: 1s
    max_rows: 0
    params: {a: integer}
`), lookup(map[string]string{"TOKEN": "s e", "KEY": key, "FLAG": "true"}))
	if err != nil {
		t.Fatal(err)
	}
	base := config.Default()
	job := func(name, kind string, params []config.Param) *config.Job {
		return &config.Job{Name: name, Kind: kind, Queue: "default", Priority: 1, Retry: base.Retry, Retention: base.Retention, Params: params}
	}
	request := job("request", "http", []config.Param{
		{Name: "user", Type: config.IntegerParam},
		{Name: "since", Type: config.DateParam, Default: []byte(`"scheduled_for"`), Doc: "Day of the change."},
		{Name: "filter", Type: config.JSONParam, Default: []byte(`{"a":[1,null]}`)},
		{Name: "flag", Type: config.BooleanParam, Default: []byte(`"true"`)},
		{Name: "note", Type: config.TextParam, Default: []byte("null")},
	})
	request.Spec = &httpjob.Config{
		URL: "https://app.example.com:8443/jobs?token=s e", Method: "PUT",
		Headers: map[string]string{"Authorization": "Bearer s e", "X-Empty": ""},
		Secrets: []string{key, "sixteen bytes or more"}, Timeout: time.Hour,
	}
	program := job("program", "command", []config.Param{})
	program.Spec = &commandjob.Config{
		Argv: []string{"bin/run", "", "two words"}, Dir: "/srv/app", Env: map[string]string{"TOKEN": "s e", "_x1": ""},
		Timeout: 30 * field.Day, MaxOutput: 1024,
	}
	letter := job("letter", "email", nil)
	letter.Spec = &emailjob.Config{
		From: "Me <me@example.com>", ReplyTo: "you@example.com", To: []string{"{{.email}}"},
		CC: []string{"Ann <ann@example.com>", "b@example.com, c@example.com"}, BCC: []string{"d@example.com"},
		Subject: "{{if .a}}{{upper .a}}{{end}}", Text: "Hello\n{{.name}}", HTML: "<b>{{.name}}</b>",
		Attach: []string{"report.csv", "/tmp/x"}, Timeout: time.Second,
	}
	templated := job("templated", "email", nil)
	templated.Spec = &emailjob.Config{To: []string{"a@example.com"}, Subject: "s", Template: "welcome_2", Timeout: time.Minute}
	statement := job("statement", "sql", []config.Param{{Name: "a", Type: config.IntegerParam}})
	statement.Spec = &sqljob.Config{Statement: "SELECT :a::int, ':b'", Timeout: time.Second}
	want := map[string]*config.Job{"request": request, "program": program, "letter": letter, "templated": templated, "statement": statement}
	if diff := cmp.Diff(want, c.Jobs); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

func TestKindDefaults(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `jobs: {h: {kind: http, url: "http://h"}, c: {kind: command, argv: [x]}, s: {kind: sql, statement: SELECT 1}}`)
	if diff := cmp.Diff(&httpjob.Config{URL: "http://h", Method: "POST", Timeout: 30 * time.Second, MaxResponse: 16 << 10}, c.Jobs["h"].Spec.(*httpjob.Config)); diff != "" {
		t.Errorf("http (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&commandjob.Config{Argv: []string{"x"}, Timeout: time.Hour, MaxOutput: 64 << 10}, c.Jobs["c"].Spec.(*commandjob.Config)); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&sqljob.Config{Statement: "SELECT 1", Timeout: 5 * time.Minute, MaxRows: 100}, c.Jobs["s"].Spec.(*sqljob.Config)); diff != "" {
		t.Errorf("sql (-want +got):\n%s", diff)
	}
	if c.Jobs["s"].Params == nil {
		t.Error("a statement without params takes any")
	}
	if c.Jobs["h"].Params != nil {
		t.Error("a request without params takes none")
	}
}

// many repeats a text with the numbers from 0 to 100.
func many(format string) string {
	var b strings.Builder
	for i := range 101 {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// A kind of a program has a name of its own.
func TestKindNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"wait": "", "import": `kind "import", which is there already`, "sync": `kind "sync", which a later version will have`, "": `kind "", which is not a name`,
	} {
		kinds := append(allKinds(), config.Kind{Name: name})
		_, err := config.Parse("t.yaml", []byte("jobs: {}\n"), &config.Opts{Kinds: kinds})
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// Rules of one job of a built-in kind, in flow style.
func TestKindRules(t *testing.T) {
	t.Parallel()
	const (
		http  = `kind: http, url: "https://h/", `
		email = "kind: email, to: a@b.c, subject: s, "
		sql   = "kind: sql, "
		makes = " (make one with: echo whsec_$(openssl rand -base64 32))"
		write = " (write it like https://app.example.com/jobs)"
		mails = ` is not a mail address (write it like jobs@example.com, or "{{.email}}" with a param)`
		one   = " is not a mail address (write it like jobs@example.com or Jobs <jobs@example.com>)"
		own   = ", and this job is of kind "
	)
	tests := map[string]struct {
		fields string
		want   []string // after "jobs.a"; nil: accepted
	}{
		"http: nothing":           {"kind: http", []string{": url is missing (add url:)"}},
		"http: other scheme":      {"kind: http, url: ftp://x", []string{".url: is not a URL of scheme http or https" + write}},
		"http: no scheme":         {"kind: http, url: app.example.com/x", []string{".url: is not a URL of scheme http or https" + write}},
		"http: no host":           {"kind: http, url: 'http:///x'", []string{".url: has no valid host and port" + write}},
		"http: opaque":            {"kind: http, url: 'http:x'", []string{".url: has no valid host and port" + write}},
		"http: port":              {"kind: http, url: 'http://h:65536'", []string{".url: has no valid host and port" + write}},
		"http: port zero":         {"kind: http, url: 'http://h:0'", []string{".url: has no valid host and port" + write}},
		"http: port empty":        {"kind: http, url: 'http://h:/x'", []string{".url: has no valid host and port" + write}},
		"http: IPv6":              {"kind: http, url: 'http://[::1]:8080/x'", nil},
		"http: password":          {"kind: http, url: 'https://u:secret@h'", []string{".url: holds a user or password (put it into headers, as Authorization)"}},
		"http: fragment":          {"kind: http, url: 'https://h#x'", []string{".url: has a fragment, which no server sees (remove # and what follows, or write it as %23)"}},
		"http: method":            {http + "method: post", []string{`.method: "post" is not one of GET, POST, PUT, PATCH, DELETE (did you mean POST?)`}},
		"http: header name":       {http + "headers: {'a b': x}", []string{`.headers."a b": "a b" is not the name of a header (letters, digits and -)`}},
		"http: header value":      {http + `headers: {a: "sec\r\nret"}`, []string{".headers.a: holds a line end or another control character (a header is one line)"}},
		"http: header tab":        {http + `headers: {a: "x\ty é"}`, nil},
		"http: header number":     {http + "headers: {a: 12345}", []string{".headers.a: is a number, not text (put it in quotes)"}},
		"http: header empty":      {http + "headers: {a: }", []string{".headers.a: has no value (give a text, or remove it)"}},
		"http: header list":       {http + "headers: {a: [x]}", []string{".headers.a: is a list, not text"}},
		"http: header twice":      {http + "headers: {x-a: x, X-A: y}", []string{".headers.X-A: X-A is there twice (remove one of them)"}},
		"http: our header":        {http + "headers: {webhook-id: x}", []string{`.headers.webhook-id: "webhook-id" is set by Tidemill (remove it)`}},
		"http: our other header":  {http + "headers: {tidemill-attempt: x}", []string{`.headers.tidemill-attempt: "tidemill-attempt" is set by Tidemill (remove it)`}},
		"http: host":              {http + "headers: {Host: x}", []string{`.headers.Host: "Host" is set by Tidemill (remove it)`}},
		"http: length":            {http + "headers: {content-length: '5'}", []string{`.headers.content-length: "content-length" is set by Tidemill (remove it)`}},
		"http: headers as list":   {http + "headers: [a]", []string{".headers: is a list, not a mapping from names to texts"}},
		"http: no headers":        {http + "headers: , secret: 0123456789abcdef", nil},
		"http: short secret":      {http + "secret: 0123456789abcde", []string{".secret: is shorter than 16 bytes" + makes}},
		"http: numeric secret":    {http + "secret: 12345678901234567890", []string{".secret: is a number, not text (put it in quotes)"}},
		"http: short key":         {http + "secret: whsec_VGlkZW1pbGxUaWRlbWlsbFRpZGVtaWw=", []string{".secret: is not of 24 to 64 bytes" + makes}},
		"http: shortest key":      {http + "secret: whsec_VGlkZW1pbGxUaWRlbWlsbFRpZGVtaWxs", nil},
		"http: long key":          {http + "secret: whsec_" + strings.Repeat("Tide", 22), []string{".secret: is not of 24 to 64 bytes" + makes}},
		"http: not base64":        {http + "secret: [0123456789abcdef, whsec_secret!]", []string{".secret[1]: has no base64 after whsec_" + makes}},
		"http: no secret":         {http + "secret: []", []string{".secret: is an empty list (give at least one, or remove it)"}},
		"http: secret as mapping": {http + "secret: {a: b}", []string{".secret: is a mapping, not text"}},
		"http: bounds":            {http + "timeout: 999ms, max_response: 2MiB", []string{`.timeout: "999ms" is not from 1s to 1h`, `.max_response: "2MiB" is not from 0B to 1MiB`}},

		"command: nothing":         {"kind: command", []string{": argv is missing (add argv:)"}},
		"command: text":            {"kind: command, argv: bin/rails runner x", []string{`.argv: "bin/rails runner x" is not a list (there is no shell; write it as ["bin/rails", "runner", "x"])`}},
		"command: text with shell": {"kind: command, argv: 'cd /x && ls'", []string{`.argv: "cd /x && ls" is not a list (there is no shell; write it as ["sh", "-c", "cd /x && ls"])`}},
		"command: long text":       {"kind: command, argv: " + strings.Repeat("x ", 150), []string{`.argv: "` + strings.Repeat("x ", 29) + `x…" is not a list (there is no shell; write it as [sh, -c, …])`}},
		"command: truth":           {"kind: command, argv: true", []string{`.argv: "true" is not a list of the program and its arguments`}},
		"command: empty":           {"kind: command, argv: []", []string{".argv: names no program (write it like [bin/rails, runner, Report.nightly])"}},
		"command: first empty":     {"kind: command, argv: ['', x]", []string{".argv[0]: an empty text names no program (begin with the name or path of a program)"}},
		"command: number":          {"kind: command, argv: [sleep, 5]", []string{`.argv[1]: "5" is a number, not text (put it in quotes: "5")`}},
		"command: name in env":     {"kind: command, argv: [x], env: {1A: x}", []string{`.env.1A: "1A" is not the name of an environment variable (letters, digits and _, no digit first)`}},
		"command: our env":         {"kind: command, argv: [x], env: {TIDEMILL_RUN: x}", []string{`.env.TIDEMILL_RUN: "TIDEMILL_RUN" is set by Tidemill (choose a name that does not begin with TIDEMILL_)`}},
		"command: number in env":   {"kind: command, argv: [x], env: {A: 1}", []string{".env.A: is a number, not text (put it in quotes)"}},
		"command: bounds":          {"kind: command, argv: [x], timeout: 31d, max_output: 1B", []string{`.timeout: "31d" is not from 1s to 30d`, `.max_output: "1B" is not from 1KiB to 1MiB`}},

		"email: nothing":            {"kind: email", []string{": to is missing (add to:)", ": subject is missing (add subject:)", ": the mail has no body (add text:, html: or template:)"}},
		"email: no address":         {"kind: email, to: [x@y.z, nope], subject: s, text: x", []string{`.to[1]: "nope"` + mails}},
		"email: empty address":      {"kind: email, to: '', subject: s, text: x", []string{`.to: an empty text` + mails}},
		"email: line end":           {`kind: email, to: "a@b.c\n", subject: s, text: x`, []string{`.to: "a@b.c\n"` + mails}},
		"email: template of to":     {"kind: email, to: '{{.x', subject: s, text: x", []string{`.to: "{{.x" is not a template: line 1: unclosed action`}},
		"email: two senders":        {email + "text: x, from: 'a@b.c, d@e.f'", []string{`.from: "a@b.c, d@e.f"` + one}},
		"email: answer":             {email + "text: x, reply_to: nope", []string{`.reply_to: "nope"` + one}},
		"email: blank subject":      {"kind: email, to: a@b.c, subject: ' ', text: x", []string{`.subject: " " is no subject (say what the mail is about)`}},
		"email: lines of subject":   {`kind: email, to: a@b.c, subject: "a\nb", text: x`, []string{`.subject: "a\nb" has more than one line`}},
		"email: template of text":   {email + `text: "a\n{{end}}"`, []string{`.text: "a\n{{end}}" is not a template: line 2: unexpected {{end}}`}},
		"email: template of html":   {email + "html: '{{if}}'", []string{`.html: "{{if}}" is not a template: line 1: missing value for if`}},
		"email: function":           {email + "text: '{{date .day}}'", nil},
		"email: both bodies":        {email + "text: x, html: y", nil},
		"email: three bodies":       {email + "text: x, template: y", []string{".template: the body is given here and in text or html (remove it, or text and html)"}},
		"email: empty body":         {email + "text: ''", []string{": the mail has no body (add text:, html: or template:)"}},
		"email: path for a name":    {email + "template: ../x", []string{`.template: "../x" is not the name of a template (letters, digits, - and _; without directory and without .txt or .html)`}},
		"email: empty path":         {email + "text: x, attach: ['']", []string{".attach[0]: names no file"}},
		"email: attach is no list":  {email + "text: x, attach: a.csv", []string{`.attach: "a.csv" is not a list (write it as [a.csv])`}},
		"sql: nothing":              {"kind: sql", []string{": statement is missing (add statement:)"}},
		"sql: blank":                {sql + "statement: ' '", []string{`.statement: " " is no statement (write it like CALL app.stats(:day))`}},
		"sql: number":               {sql + "statement: SELECT $1", []string{`.statement: "SELECT $1" is not a statement: $1 at line 1, column 8 stands for a parameter by number; write :name, and declare name in params`}},
		"sql: open string":          {sql + `statement: "SELECT\n'"`, []string{`.statement: "SELECT\n'" is not a statement: the string that begins at line 2, column 1 is not closed`}},
		"sql: undeclared":           {sql + "statement: 'SELECT :day'", []string{".statement: :day is not among params (add it, such as params: {day: text}; a slice of an array needs a space after the colon)"}},
		"sql: misspelled":           {sql + "statement: 'SELECT :dya', params: {day: date}", []string{".statement: :dya is not among params (did you mean :day?)", ".params.day: is not in the statement (write :day where it belongs, outside of quotes and $$, or remove it)"}},
		"sql: in quotes":            {sql + `statement: "SELECT ':day'", params: {day: date}`, []string{".params.day: is not in the statement (write :day where it belongs, outside of quotes and $$, or remove it)"}},
		"sql: broken and unused":    {sql + `statement: "SELECT ':day", params: {day: date}`, []string{`.statement: "SELECT ':day" is not a statement: the string that begins at line 1, column 8 is not closed`}},
		"sql: many params":          {sql + "statement: 'SELECT " + many(":p%d,") + "'", []string{".statement: has more than the 100 params that a job can have (take one param of type json)"}},
		"many params":               {http + "params: {" + many("p%d: text,") + "}", []string{".params: has more than the 100 params that a job can have (take one param of type json)"}},
		"sql: bounds":               {sql + "statement: SELECT 1, max_rows: 10001, timeout: 1ms", []string{`.max_rows: "10001" is not from 0 to 10000`, `.timeout: "1ms" is not from 1s to 30d`}},
		"stall of a request":        {http + "stall: 1m", []string{".stall: is a field of kinds import, export, cleanup and each and of those that your program registers" + own + "http"}},
		"params of an import":       {"kind: import, table: t, params: {a: text}", []string{".params: is a field of kinds http, command, email, sql, export and each and of those that your program registers" + own + "import"}},
		"fields of other kinds":     {http + "argv: [x], args: {}, to: x", []string{".argv: is a field of kind command" + own + "http", ".args: is a field of a kind that your program registers" + own + "http", ".to: is a field of kind email" + own + "http"}},
		"field of several kinds":    {"kind: own, timeout: 1m", []string{".timeout: is a field of kinds http, command, email, sql and export" + own + "own"}},
		"misspelled kind":           {"kind: htpp, url: x, args: {}", []string{".url: is a field of kind http" + own + "htpp (did you mean kind: http?)"}},
		"misspelled field of http":  {http + "header: {}", []string{".header: is a field of kinds import and export" + own + "http (did you mean headers?)"}},
		"misspelled field of email": {email + "text: x, atach: []", []string{".atach: unknown field (did you mean attach?)"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, line := range messages(t, withMail+"jobs: {a: {"+tt.fields+"}}", lookup(nil)) {
				_, after, _ := strings.Cut(line, "jobs.a")
				got = append(got, after)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMailAndTimezone(t *testing.T) {
	t.Parallel()
	const (
		url  = " (write it like smtp://user:password@host:587, with special characters of the password as %40 and so on)"
		zone = " is not a time zone (write it like Asia/Tokyo, Europe/Berlin or UTC)"
		job  = "\njobs: {a: {kind: email, to: a@b.c, subject: s, %}}"
	)
	for src, want := range map[string][]string{
		"mail: {url: ''}":                    nil,
		"mail: {url: 'smtp://h'}":            nil,
		"mail: {url: 'smtps://u:p@[::1]/'}":  nil,
		"mail: {url: 'http://u:secret@h'}":   {"1:8: mail.url: is not a URL of scheme smtp or smtps" + url},
		"mail: {url: 'smtp://u:sec%zzet@h'}": {"1:8: mail.url: is not a URL of scheme smtp or smtps" + url},
		"mail: {url: 'smtp://u:secret@'}":    {"1:8: mail.url: has no valid host and port" + url},
		"mail: {url: 'smtp://h/secret'}":     {"1:8: mail.url: has something after the host" + url},
		"mail: {from: 'x'}":                  {`1:8: mail.from: "x" is not a mail address (write it like jobs@example.com or Jobs <jobs@example.com>)`},
		"mail: {form: x}":                    {"1:8: mail.form: unknown field (did you mean from?)"},
		"timezone: Mars":                     {`1:1: timezone: "Mars"` + zone},
		"timezone: ''":                       {"1:1: timezone: an empty text" + zone},
		"timezone: Local":                    {`1:1: timezone: "Local"` + zone},
		"timezone: ../etc/passwd":            {`1:1: timezone: "../etc/passwd"` + zone},
		"mail: " + strings.Replace(job, "%", "template: x", 1): {
			"2:8: jobs.a: from is missing (add from: here or to mail)",
			`2:12: jobs.a.kind: kind email needs mail.url (say how mail is sent: mail: {url: "${MAIL_URL}", from: jobs@example.com})`,
			"2:48: jobs.a.template: needs mail.templates (say where templates are: mail: {templates: ./mail})",
		},
		"mail: {url: 'smtp://h'}" + strings.Replace(job, "%", "text: x, from: a@b.c", 1): nil,
		"mail: {url: x, from: y}" + strings.Replace(job, "%", "text: x", 1): {
			"1:8: mail.url: is not a URL of scheme smtp or smtps" + url,
			`1:16: mail.from: "y" is not a mail address (write it like jobs@example.com or Jobs <jobs@example.com>)`,
		},
	} {
		if diff := cmp.Diff(want, messages(t, src, lookup(nil))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", src, diff)
		}
	}
	tokyo := mustParse(t, "timezone: Asia/Tokyo").Location()
	if got := time.Unix(0, 0).In(tokyo).Hour(); got != 9 {
		t.Errorf("hour %d, want that of Tokyo", got)
	}
	if got := (&config.Config{Timezone: "Mars"}).Location(); got != time.UTC {
		t.Errorf("location %s of an unknown name", got)
	}
}

// Secrets that are not known, when a file is checked without them, must not be judged.
func TestKindsOffline(t *testing.T) {
	t.Parallel()
	src := []byte(`
mail: {url: "${X}", from: "${X}", templates: "${X}"}
timezone: "${X}"
jobs:
  h: {kind: http, url: "${X}", method: "${X}", headers: {A: "${X}"}, secret: ["${X}"], timeout: "${X}"}
  c: {kind: command, argv: ["${X}"], dir: "${X}", env: {A: "${X}"}, params: {d: {type: date, default: "${X}"}}}
  e: {kind: email, to: "${X}", subject: "${X}", template: "${X}"}
  s: {kind: sql, statement: "${X}", params: {unused: text}}
`)
	opts := lookup(nil)
	opts.Offline = true
	c, err := config.Parse("", src, opts)
	if err != nil {
		t.Fatal(err)
	}
	if c.Jobs["h"].Spec.(*httpjob.Config).Timeout != 30*time.Second || c.Location() != time.UTC {
		t.Errorf("%v and %v are not the defaults", c.Jobs["h"].Spec.(*httpjob.Config).Timeout, c.Location())
	}
}
