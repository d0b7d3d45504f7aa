package importjob

import "github.com/tidemill/tidemill/config"

const kindName = "import"

// configKind loads a file into a table.
func configKind() config.Kind {
	return config.NewKind[Config](config.Kind{
		Name: kindName, Chunked: true, Params: config.NoParams, NoChild: true, Doc: "Loads a file into a table.",
	}, fields())
}

// The ways to treat a record of a wrong number of fields.
const (
	RaggedReject = "reject" // put it aside
	RaggedPad    = "pad"    // missing fields are empty, empty ones at its end are left out
)

// The ways to treat a row whose match columns equal those of a row in the table.
const (
	Skip   = "skip"   // leave the row of the table
	Update = "update" // bring the row of the table up to date
	Reject = "error"  // reject the row of the file
)

// The ways to commit an import.
const (
	Chunked = "chunked" // what is committed stays, whatever becomes of the run
	Atomic  = "atomic"  // all in one transaction
)

// What an import does with the content that it imported last.
const (
	AgainChanged = "changed" // nothing, unless the table has been emptied
	AgainAlways  = "always"
)

// Config is what a job of kind import does.
type Config struct {
	Source      Source
	Table       config.Table
	Format      string   // CSV or NDJSON
	Encoding    string   // empty: found out
	Compression string   // empty: found out
	Header      bool     // the first record names the fields; of CSV
	Delimiter   byte     // 0: found out
	Quote       byte     // 0: found out
	Comment     byte     // begins lines that are skipped; 0: none
	Ragged      string   // RaggedReject or RaggedPad
	Columns     []Column // in the order of the file; empty: the names in the header
	Set         []SetRule
	Match       []string // rows are the same when these columns are equal; empty: plain insert
	OnConflict  string   // Skip, Update or Reject
	RejectLimit RejectLimit
	MaxRecord   int    // bytes
	Mode        string // Chunked or Atomic
	Again       string // AgainChanged or AgainAlways
	Writers     int    // chunks that are written at once
}

// Column is a column of the table and the field that fills it. Exactly one of Field
// and Number is set.
type Column struct {
	Target string   // column of the table
	Field  string   // name in the header
	Number int      // place in the record, from 1; without header only
	Trim   bool     // remove white space on both ends
	NullIf []string // texts that become NULL, or the default
	// Default is for fields that are empty or missing, as PostgreSQL reads it; nil: NULL.
	Default *string `json:",omitempty"`
	// Optional: a file need not have the field.
	Optional bool `json:",omitempty"`
	ValueFormat
}

// When a column is set by a [SetRule].
const (
	OnInsert = "insert" // for a new row
	OnChange = "change" // for a new row and for one that an update really changes
)

// SetRule sets a column that the file does not have.
type SetRule struct {
	Column string
	Value  string // now: the time of the transaction
	When   string // OnInsert or OnChange
}

// RejectLimit ends a run that rejects more rows than Rows, or a greater share of the
// rows read than Ratio.
type RejectLimit struct {
	Rows  int64
	Ratio float64 // 0 to 1; 1 is no limit
}
