package config

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/config/field"
)

// Config is a whole tidemill.yaml with all defaults filled in.
type Config struct {
	File string // as given to Load or Parse, for messages; empty for Default

	Database     Database
	Storage      Storage
	Mail         Mail
	Server       Server
	Metrics      Metrics
	Queues       map[string]Queue // by name; never empty
	Retry        Retry
	Retention    Retention
	DrainTimeout time.Duration // how long running jobs may continue after a stop signal
	MaxArgs      int           // how many bytes the arguments of a job may have
	Reload       string        // ReloadManual or ReloadAuto
	Timezone     string        // IANA name; of schedules and dates where nothing else says
	Jobs         map[string]*Job
	Schedules    map[string]*Schedule // by name, those that are in a job among them; never nil

	root  *field.Node // for positions; nil for Default
	kinds []Kind
}

// Database says where River's and Tidemill's tables are.
type Database struct {
	URL         string // empty: not configured; may hold a password
	Schema      string // of Tidemill's tables
	RiverSchema string // of River's tables; equal to Schema unless given
	Notify      bool   // starts and inserts wake the workers; otherwise these only poll
}

// Storage is where files live: uploads, results.
type Storage struct {
	URL string // file:///directory or s3://bucket/prefix?parameters; empty: not configured
	// Of what is made in a directory, in octal digits.
	FileMode   string
	FolderMode string
}

// Modes are FileMode and FolderMode; 0 for one that a configuration that was read does not have.
func (s Storage) Modes() (file, folder fs.FileMode) {
	mode := func(digits string) fs.FileMode {
		n, err := strconv.ParseUint(digits, 8, 32)
		if err != nil {
			return 0
		}
		return fs.FileMode(n) & fs.ModePerm
	}
	return mode(s.FileMode), mode(s.FolderMode)
}

// Metrics is the listener for /metrics, /livez and /readyz of a worker.
type Metrics struct {
	Listen string // host:port; empty: none
}

// When a process reads its configuration again.
const (
	ReloadManual = "manual" // at SIGHUP
	ReloadAuto   = "auto"   // also when the content of the file has changed
)

// Queue is one River queue.
type Queue struct {
	Workers int // jobs that one process runs at the same time
}

// How the delay between attempts grows; see [Retry].
const (
	Exponential = "exponential"
	Linear      = "linear"
	Constant    = "constant"
)

// Retry says how often and when a job is tried again.
type Retry struct {
	MaxAttempts int           // the first one counted
	Backoff     string        // Exponential, Linear or Constant
	Delay       time.Duration // after the first attempt
	MaxDelay    time.Duration // at least Delay
	Jitter      float64       // share of the delay that is random, 0 to 1
}

// Forever is a period of [Retention] that never ends.
const Forever time.Duration = math.MaxInt64

// Retention says how long what is finished is kept, counted from its end; each may be
// [Forever].
type Retention struct {
	Succeeded time.Duration // River jobs by outcome
	Failed    time.Duration
	Cancelled time.Duration
	Runs      time.Duration // runs in the ledger, but at least as long as their River job
	Rejects   time.Duration // rejected rows; at most Runs
}

// Opts tune Load and Parse. The zero value and nil are ready for use.
type Opts struct {
	// Lookup gives the value of ${NAME}. Default: os.LookupEnv.
	Lookup func(string) (string, bool)
	// Kinds are those that jobs may be of, beside those that a user's program registers: those of package workers.
	Kinds []Kind
	// Offline leaves ${NAME} without value and default in texts as it is, and
	// other fields with such a name at their defaults, instead of reporting it. It
	// is for checking a file where its secrets are not known.
	Offline bool
}

// Default is the configuration of an absent file.
func Default() *Config {
	c := &Config{}
	c.reset(c.fields())
	c.Database.RiverSchema = c.Database.Schema
	c.Retention.settle()
	return c
}

// reset leaves open what follows another field: the schema of River, and how long
// rejects are kept.
func (c *Config) reset(fields field.Table[Config]) {
	fields.Reset(&field.Checker{}, c)
	c.Retention.Rejects = asRuns
}

// Load reads the file at path; see [Parse]. An unreadable file is reported as the
// error of package os, wrapped.
func Load(path string, opts *Opts) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, field.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return Parse(path, data, opts)
}

// Parse reads a configuration from data; name stands for it in messages. The error
// is of type [Errors] and holds all problems, except that after a mistake in the
// YAML syntax itself nothing else is looked at.
func Parse(name string, data []byte, opts *Opts) (*Config, error) {
	if opts == nil {
		opts = &Opts{}
	}
	c := &Config{File: name, kinds: opts.Kinds}
	fields := c.fields()
	c.reset(fields)
	d := field.New(name, field.Opts{Lookup: opts.Lookup, Offline: opts.Offline})
	checkKindNames(d, opts.Kinds)
	if root := d.Parse(data); root.Node != nil {
		c.root = root.Node
		field.Section[Config]{Fields: fields}.Read(d, root, c)
		(&Checker{d, c}).check()
	}
	if problems := d.Problems(); len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// Same reports whether another configuration says the same, however its file is written. It may say no of two that do.
func (c *Config) Same(other *Config) bool {
	a, b := *c, *other
	a.root, b.root, a.kinds, b.kinds = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// Job returns the job of that name.
func (c *Config) Job(name string) (*Job, bool) {
	job, ok := c.Jobs[name]
	return job, ok
}

// At gives the place of the value at path, or of its nearest ancestor that the file
// has: At("jobs", "import-users", "columns", "email"). The item i of a list is
// "[i]", from 0. For an entry of a mapping the place is that of its key.
func (c *Config) At(path ...string) field.Position {
	_, pos, _ := field.Locate(c.root, path)
	return pos
}

// Given reports whether the file has a value at path. Without, the value is the default, and nobody asked for it.
func (c *Config) Given(path ...string) bool {
	_, _, found := field.Locate(c.root, path)
	return found
}

// Location is the time zone of Timezone. It is UTC for a name that is not known, which a configuration that was read
// does not have.
func (c *Config) Location() *time.Location {
	loc, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return time.UTC
	}
	return loc
}

// Errorf makes an error about the value at path, for checks beyond the file itself.
func (c *Config) Errorf(at []string, hint, format string, args ...any) *field.Error {
	pos := c.At(at...)
	return &field.Error{
		File: c.File, Line: pos.Line, Column: pos.Column,
		Path: field.Path(at).String(), Message: fmt.Sprintf(format, args...), Hint: hint,
	}
}
