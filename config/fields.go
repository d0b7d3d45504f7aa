package config

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/s3url"
)

// fields is the table of the top level. Retry, retention, queues and timezone
// are before jobs and schedules, which inherit from them.
func (c *Config) fields() field.Table[Config] {
	return field.Table[Config]{
		field.Row("database", field.Section[Database]{Fields: databaseFields()}, "", "The PostgreSQL database that holds jobs and runs.",
			func(c *Config) *Database { return &c.Database }),
		field.Row("storage", field.Section[Storage]{Fields: storageFields()}, "", "Where files live: uploads, rejected rows, results.",
			func(c *Config) *Storage { return &c.Storage }),
		field.Row("mail", field.Section[Mail]{Fields: mailFields()}, "", "How mail is sent; jobs of kind `email` need it.",
			func(c *Config) *Mail { return &c.Mail }),
		field.Row("server", field.Section[Server]{Fields: serverFields()}, "", "The HTTP server: `/api/cron/SCHEDULE`, `/livez` and `/readyz`.",
			func(c *Config) *Server { return &c.Server }),
		field.Row("metrics", field.Section[Metrics]{Fields: metricsFields()}, "", "The listener of a worker for `/metrics`, `/livez` and `/readyz`.",
			func(c *Config) *Metrics { return &c.Metrics }),
		field.Row("queues", queues{field.Section[Queue]{Fields: queueFields()}}, "{critical: 10, default: 20, low: 5}", "Workers per process, by queue. A name is of lower-case letters and digits, joined by single `-` or `_`, at most 64 characters. The given queues replace the default ones.",
			func(c *Config) *map[string]Queue { return &c.Queues }),
		field.Row("retry", field.Section[Retry]{Fields: retryFields()}, "", "How failed jobs are tried again; what a job does not say itself.",
			func(c *Config) *Retry { return &c.Retry }),
		field.Row("retention", field.Section[Retention]{Fields: retentionFields()}, "", "How long what is finished is kept; what a job does not say itself.",
			func(c *Config) *Retention { return &c.Retention }),
		field.Row("drain_timeout", field.Duration{Min: 0, Max: field.Day}, "30s", "How long running jobs may continue after a stop signal.",
			func(c *Config) *time.Duration { return &c.DrainTimeout }),
		field.Row("max_args", field.Size{Min: 1 << 10, Max: 64 << 20}, "1MiB", "How long the arguments of a job may be, its metadata and tags counted. A start or an insert of more is refused, in Go, by the command and in SQL: store what is larger, in a table or a file, and pass its key. A worker needs memory for several times `max_args` for each of its jobs that has such arguments.",
			func(c *Config) *int { return &c.MaxArgs }),
		field.Row("reload", field.Choice{ReloadManual, ReloadAuto}, ReloadManual, "When `worker`, `up` and `server` take a changed file: at SIGHUP only (`manual`), or within some seconds of any change of its content as well (`auto`). One with a mistake is an error in the log, and the old one stays. What the file takes from elsewhere, such as environment variables and templates, is not watched.",
			func(c *Config) *string { return &c.Reload }),
		field.Row("timezone", field.Text{Words: "IANA name", Check: CheckTimezone}, "UTC", "Time zone of schedules, and in which a moment becomes a date, where nothing else says: `Asia/Tokyo`.",
			func(c *Config) *string { return &c.Timezone }),
		field.Row("jobs", newJobs(c.kinds, c), "", "The jobs by name. A name is of lower-case letters, digits, `-` and `_`, begins with a letter or digit and has at most 64 characters.",
			func(c *Config) *map[string]*Job { return &c.Jobs }),
		field.Row("schedules", newSchedules(c), "", "When jobs start by themselves, by name; names are formed like those of jobs. A schedule may also be in its job.",
			func(c *Config) *map[string]*Schedule { return &c.Schedules }),
	}
}

func databaseFields() field.Table[Database] {
	return field.Table[Database]{
		field.Row("url", field.Text{Words: "PostgreSQL URL or keywords", Secret: true, Check: CheckDatabaseURL}, "", "How to connect. Keep the password in the environment: `\"${DATABASE_URL}\"`. Empty counts as absent.",
			func(db *Database) *string { return &db.URL }),
		field.Row("schema", field.Text{Words: "lower-case identifier", Pattern: schemaPattern, Check: checkSchema}, "tidemill", "Schema of Tidemill's tables.",
			func(db *Database) *string { return &db.Schema }),
		field.Row("river_schema", field.Text{Words: "identifier", Pattern: riverSchemaPattern, Check: checkRiverSchema}, "", "Schema of River's tables.",
			func(db *Database) *string { return &db.RiverSchema }).Inherit("`schema`"),
		field.Row("notify", field.Boolean{}, "true", "Whether a start or an insert wakes the workers with `NOTIFY`. PostgreSQL commits transactions that notify one after the other (others measured 16,000 commits a second without and 7,500 with it), so say `false` where many small transactions insert jobs, or where `LISTEN` does not work. Workers then only poll: a job is found within about 100 ms; that another program's job is cancelled or a queue paused, within 2 s. Programs and workers should say the same.",
			func(db *Database) *bool { return &db.Notify }),
	}
}

func storageFields() field.Table[Storage] {
	return field.Table[Storage]{
		field.Row("url", field.Text{Words: "URL `file:///directory` or `s3://bucket/prefix?region=…`", Check: checkStorageURL, Hide: s3url.MaybeSecret}, "", "Where the files are: a directory, or a bucket of S3 or of what speaks like it, below a prefix if there is one. Credentials are those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, a role), never part of the URL. The parameters after the `?` are in [STORAGE.md](STORAGE.md). Empty counts as absent.",
			func(s *Storage) *string { return &s.URL }),
		field.Row("file_mode", field.Text{Words: "octal mode in quotes", Pattern: modePattern, Check: checkMode(0o600, "0640")}, `"0600"`, "Who may read and write the files that are made in a directory, whatever the umask is.",
			func(s *Storage) *string { return &s.FileMode }),
		field.Row("folder_mode", field.Text{Words: "octal mode in quotes", Pattern: modePattern, Check: checkMode(0o700, "0750")}, `"0700"`, "The same of the folders that are made, the directory itself included. What is there keeps its mode.",
			func(s *Storage) *string { return &s.FolderMode }),
	}
}

const modePattern = "^0[0-7]{3}$"

// checkMode refuses a mode with which Tidemill itself could not read what it has written.
func checkMode(least uint64, example string) func(s string) (problem, hint string) {
	return func(s string) (problem, hint string) {
		mode, err := strconv.ParseUint(s, 8, 32)
		switch {
		case err != nil || len(s) != 4 || s[0] != '0':
			return "is not an octal mode", "write it like \"" + example + "\", with the quotes"
		case mode&least != least:
			return "leaves Tidemill itself without rights", "write it like \"" + example + "\""
		}
		return "", ""
	}
}

func mailFields() field.Table[Mail] {
	return field.Table[Mail]{
		field.Row("url", field.Text{Words: "URL `smtp://user:password@host:587` or `smtps://…`", Secret: true, Check: checkMailURL}, "", "The SMTP server. Keep the password in the environment: `\"${MAIL_URL}\"`. Empty counts as absent.",
			func(m *Mail) *string { return &m.URL }),
		field.Row("from", field.Text{Words: "mail address", Check: CheckAddress}, "", "Sender of a mail that names none: `Tidemill <jobs@example.com>`. Empty counts as absent.",
			func(m *Mail) *string { return &m.From }),
		field.Row("templates", field.Text{Words: "directory"}, "", "Directory of the templates. Empty counts as absent.",
			func(m *Mail) *string { return &m.Templates }),
	}
}

func metricsFields() field.Table[Metrics] {
	return field.Table[Metrics]{
		field.Row("listen", field.Text{Words: "`host:port`", Check: checkListen("127.0.0.1:9394")}, `"127.0.0.1:9394"`, "Address to listen on; `\"\"` is none. If it is not given and the default is in use, a free port is taken, and the log says which.",
			func(m *Metrics) *string { return &m.Listen }),
	}
}

const Year = 365 * field.Day

func retryFields() field.Table[Retry] {
	return field.Table[Retry]{
		// River keeps attempts in a smallint.
		field.Row("max_attempts", field.Integer[int]{Min: 1, Max: 32767}, "10", "Attempts in all, the first one counted.",
			func(r *Retry) *int { return &r.MaxAttempts }),
		field.Row("backoff", field.Choice{Exponential, Linear, Constant}, Exponential, "How the delay grows from one attempt to the next: doubling, by `delay` each time, or not at all.",
			func(r *Retry) *string { return &r.Backoff }),
		field.Row("delay", field.Duration{Min: time.Millisecond, Max: Year}, "2s", "Delay after the first attempt.",
			func(r *Retry) *time.Duration { return &r.Delay }),
		field.Row("max_delay", field.Duration{Min: time.Millisecond, Max: Year}, "1h", "Longest delay; not less than `delay`.",
			func(r *Retry) *time.Duration { return &r.MaxDelay }),
		field.Row("jitter", field.Ratio{}, "10%", "Share of the delay that is random, so that jobs that fail at once do not return at once.",
			func(r *Retry) *float64 { return &r.Jitter }),
	}
}

func retentionFields() field.Table[Retention] {
	return field.Table[Retention]{
		field.Row("succeeded", period{}, "24h", "Jobs that succeeded.",
			func(r *Retention) *time.Duration { return &r.Succeeded }),
		field.Row("failed", period{}, "forever", "Jobs that failed for good.",
			func(r *Retention) *time.Duration { return &r.Failed }),
		field.Row("cancelled", period{}, "7d", "Jobs that were cancelled.",
			func(r *Retention) *time.Duration { return &r.Cancelled }),
		field.Row("runs", period{}, "90d", "Runs in the ledger, counted from their end. A run stays at least as long as its job. While that of a job's last import is there, the same file is not imported again (`again`).",
			func(r *Retention) *time.Duration { return &r.Runs }),
		field.Row("rejects", period{}, "", "Rejected rows, counted from the end of their run; at most as long as the run.",
			func(r *Retention) *time.Duration { return &r.Rejects }).Inherit("as `runs`"),
	}
}

func queueFields() field.Table[Queue] {
	return field.Table[Queue]{
		field.Row("workers", queueWorkers(), "", "Jobs that one process runs at the same time.",
			func(q *Queue) *int { return &q.Workers }).Require(),
	}
}

// queueWorkers has River's limit.
func queueWorkers() field.Integer[int] { return field.Integer[int]{Min: 1, Max: 10_000} }

// River prefixes its notification topics with the schema; together they must fit
// into the 63 bytes of an identifier, which leaves 46.
const (
	schemaPattern      = `^[a-z_][a-z0-9_]{0,45}$`
	riverSchemaPattern = `^[a-zA-Z_][a-zA-Z0-9_]{0,45}$`
)

var (
	schemaRE      = regexp.MustCompile(schemaPattern)
	riverSchemaRE = regexp.MustCompile(riverSchemaPattern)
)

func checkSchema(s string) (problem, hint string) {
	if !schemaRE.MatchString(s) {
		return "is not a schema name", "lower-case letters, digits and _, at most 46"
	}
	return checkRiverSchema(s)
}

func checkRiverSchema(s string) (problem, hint string) {
	switch {
	case !riverSchemaRE.MatchString(s):
		return "is not a schema name that River takes", "letters, digits and _, at most 46"
	case strings.HasPrefix(s, "pg_"):
		return "is reserved by PostgreSQL", "choose a name that does not begin with pg_"
	}
	return "", ""
}

// CheckDatabaseURL looks at the scheme only: the rest is for the driver to judge,
// which takes more than package net/url does.
// CheckDatabaseURL says what is wrong with a database URL, in words that hold nothing of it, and what to do.
func CheckDatabaseURL(s string) (problem, hint string) {
	const example = "write it like postgres://user@host:5432/name"
	scheme, rest, isURL := strings.Cut(s, "://")
	switch {
	case s == "", !isURL && strings.Contains(s, "="):
		return "", ""
	case !isURL:
		return "is not a PostgreSQL URL", example
	case scheme != "postgres" && scheme != "postgresql":
		return "is not a URL of scheme postgres", example
	}
	// An @, a slash or a question mark that is part of the password would end it, and the rest of the password would be taken for
	// the host or the database, and be shown as such.
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	path, query, _ := strings.Cut(rest[end:], "?")
	port := rest[strings.LastIndexByte(rest[:end], ':')+1 : end]
	_, err := strconv.ParseUint(port, 10, 16)
	stranded := strings.Contains(query, "@") && strings.Contains(rest[:end], ":") && err != nil && !strings.HasSuffix(port, "]")
	if strings.Count(rest[:end], "@") > 1 || strings.Contains(path, "@") || stranded && !strings.Contains(rest[:end], "@") {
		return "has a special character in the password, or in the user, that ends it too early", "write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A and % as %25"
	}
	return "", ""
}

func checkStorageURL(s string) (problem, hint string) {
	const example = "write it like file:///var/lib/tidemill"
	if s == "" {
		return "", ""
	}
	if rest, ok := strings.CutPrefix(s, "s3://"); ok {
		return s3url.CheckStorage(rest)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "":
		return "is not a URL", example
	case u.Scheme != "file":
		return "is of a scheme that is not known", "file:// and s3:// are: " + example
	case u.Host != "" || !strings.HasPrefix(u.Path, "/"):
		return "is not the URL of an absolute directory", "three slashes: " + example
	}
	return "", ""
}

// checkListen words its hints with example.
func checkListen(example string) func(s string) (problem, hint string) {
	hint := "write it like " + example
	return func(s string) (string, string) {
		if s == "" {
			return "", ""
		}
		_, port, err := net.SplitHostPort(s)
		if err != nil {
			return "is not host:port", hint
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "has no port from 0 to 65535", hint
		}
		return "", ""
	}
}
