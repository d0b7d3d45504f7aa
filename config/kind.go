package config

import "github.com/tidemill/tidemill/config/field"

// Kind is what a kind of job brings to the configuration.
type Kind struct {
	Name, Doc string
	// Chunked: its jobs commit as they go. They have the field `stall`, and an attempt that made progress does not count as one.
	Chunked bool
	Params  ParamRule
	// NoChild: its jobs cannot be enqueued by another job for each of its rows.
	NoChild bool

	fields []field.Info
	blank  func(d *field.Checker) Spec // with all defaults; nil for kinds of a user's own program
	read   func(d *field.Checker, v field.Value, into Spec)
}

// ParamRule says which params the jobs of a kind take.
type ParamRule int

const (
	AnyParams      ParamRule = iota // those that the job declares, or any if it declares none
	DeclaredParams                  // those that the job declares
	NoParams                        // none: there is no field `params`
)

// Spec is what a job of a kind does: the further fields that the kind has.
type Spec interface {
	// Check reports what does not fit together in the job at that path, and fills in what depends on other fields.
	Check(c *Checker, job *Job, at field.Path)
	// Identity is what makes the job another one when it changes, and the name under which it enters the hash of the job, which no
	// other kind has. It is encoded as JSON; a field that is added later must be left out at its default.
	Identity() (name string, definition any)
	// Limits are the other fields, which change how the job is run and not what it does.
	Limits() []any
}

// FileTaker is a [Spec] of jobs that may need a file at their start, which neither a schedule nor another job nor SQL has.
type FileTaker interface {
	NeedsFile() *FileNeed // nil: none
}

// FileNeed says so in words.
type FileNeed struct {
	Unless     string // the field with which it would need none
	Problem    string // what is wrong with a start that has no file, as words that follow the name of the job
	StartError string // the same as words that begin an error
	Hint       string // what to do
}

// NeedsFile is what the job needs to be given a file for at its start, nil if it needs none.
func (j *Job) NeedsFile() *FileNeed {
	if taker, ok := j.Spec.(FileTaker); ok {
		return taker.NeedsFile()
	}
	return nil
}

// NewKind completes a kind with the table of the further fields of its jobs, which are kept in a T.
func NewKind[T any, P interface {
	*T
	Spec
}](k Kind, fields field.Table[T]) Kind {
	k.fields = fields.Infos()
	k.blank = func(d *field.Checker) Spec {
		it := new(T)
		fields.Reset(d, it)
		return P(it)
	}
	k.read = func(d *field.Checker, v field.Value, into Spec) { fields.ReadFields(d, v, into.(P)) }
	return k
}

// Fields are the further fields of its jobs.
func (k Kind) Fields() []field.Info { return k.fields }

// Default is a job without any of its fields, and what is wrong with their defaults.
func (k Kind) Default() (Spec, field.Errors) {
	c := field.New(k.Name, field.Opts{})
	return k.blank(c), c.Problems()
}

// Checker checks what several values say together. It collects the problems of a file.
type Checker struct {
	*field.Checker
	Config *Config
}

// kind returns the kind of that name, if it is one of ours.
func (c *Config) kind(name string) (Kind, bool) { return findKind(c.kinds, name) }

func findKind(kinds []Kind, name string) (Kind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

func kindNames(kinds []Kind) []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return names
}

// NoChild reports whether the job cannot be enqueued by another one for each of its rows.
func (d *Checker) NoChild(job *Job) bool {
	k, _ := d.Config.kind(job.Kind)
	return k.NoChild
}
