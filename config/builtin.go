package config

import (
	"encoding/json"
	"time"
)

// The built-in kinds besides KindImport. Their jobs are one piece of work each: an attempt does all of it or fails.
const (
	KindHTTP    = "http"    // a request to a program of the user's
	KindCommand = "command" // a program on the worker's machine
	KindEmail   = "email"   // a mail from a template
	KindSQL     = "sql"     // a statement
)

// HTTP is what a job of kind http does.
type HTTP struct {
	URL     string
	Method  string            // GET, POST, PUT, PATCH or DELETE; those without body are GET and DELETE
	Headers map[string]string // by canonical name
	// Secrets sign the request as Standard Webhooks has it, each with a signature of its own, so that a secret can be
	// replaced without a gap. None: the request is not signed.
	//
	// A secret is whsec_ with the base64 of the key behind it, or the key itself.
	Secrets     []string
	Timeout     time.Duration // of one attempt, response included
	MaxResponse int           // bytes of the response's body that are kept
}

// Command is what a job of kind command does.
type Command struct {
	Argv      []string // the program and its arguments; there is no shell
	Dir       string   // empty: the worker's own
	Env       map[string]string
	Timeout   time.Duration
	MaxOutput int // bytes of the output that are kept
}

// Email is what a job of kind email does. To, CC, BCC, Subject, Text and HTML are templates over the params.
type Email struct {
	From        string // empty: Mail.From
	ReplyTo     string
	To, CC, BCC []string
	Subject     string
	Template    string // name of a template in Mail.Templates; empty: Text and HTML
	Text, HTML  string
	Attach      []string // files on the worker's machine
	Timeout     time.Duration
}

// SQL is what a job of kind sql does.
type SQL struct {
	Statement string // one statement; :name stands for a param of the job, and is bound, never spliced
	Timeout   time.Duration
	MaxRows   int // returned rows that are kept
}

// Mail says how mail is sent.
type Mail struct {
	URL       string // smtp:// or smtps://, with user and password; empty: not configured
	From      string
	Templates string // directory; empty: none
}

// The types of a [Param].
const (
	TextParam      = "text"
	IntegerParam   = "integer"
	NumberParam    = "number"
	BooleanParam   = "boolean"
	DateParam      = "date"      // 2006-01-02
	TimestampParam = "timestamp" // RFC 3339
	UUIDParam      = "uuid"
	JSONParam      = "json"
)

// ScheduledFor is the default of a date or timestamp that is the due time of the run.
const ScheduledFor = "scheduled_for"

// Param is a declared param of a job.
type Param struct {
	Name string
	Type string
	Doc  string
	// Default is the JSON of the value for a start that gives none, or the JSON text of ScheduledFor; null is no value;
	// nil: the param must be given.
	Default json.RawMessage
}
