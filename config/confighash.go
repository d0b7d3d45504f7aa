package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// meaning holds what a configuration makes of its jobs. Version changes when the encoding does.
type meaning struct {
	Version      int
	Schema       string
	RiverSchema  string
	Notify       bool
	MailFrom     string
	Queues       map[string]Queue
	Retry        Retry
	Retention    Retention
	DrainTimeout time.Duration
	MaxArgs      int
	Timezone     string
	Jobs         map[string]jobMeaning
	Schedules    map[string]scheduleMeaning `json:",omitempty"`
}

type jobMeaning struct {
	Definition string // Job.Hash
	Queue      string
	Priority   int
	Retry      Retry
	OwnDelays  bool
	Retention  Retention
	Unique     bool
	Stall      time.Duration
	AnyParams  bool
	Limits     []any // of the kind, in a fixed order
	Then       *Then `json:",omitempty"`
}

// scheduleMeaning has the params in place of their text.
type scheduleMeaning struct {
	Schedule
	Params any
}

// Hash tells configurations apart by what they do, as a SHA-256 in hexadecimal: processes whose hashes differ do not run
// the same. It covers everything but where things are and who may (URLs of the database, the storage and the mail server,
// directories, addresses to listen on), the values of headers and of environment variables, secrets, and the texts that
// explain a param. How the file is written does not matter.
func (c *Config) Hash() string {
	m := meaning{
		Version: 1, Schema: c.Database.Schema, RiverSchema: c.Database.RiverSchema, Notify: c.Database.Notify,
		MailFrom: c.Mail.From, Queues: c.Queues, Retry: c.Retry, Retention: c.Retention, DrainTimeout: c.DrainTimeout, MaxArgs: c.MaxArgs,
		Timezone: c.Timezone, Jobs: make(map[string]jobMeaning, len(c.Jobs)),
		Schedules: make(map[string]scheduleMeaning, len(c.Schedules)),
	}
	for name, j := range c.Jobs {
		var then *Then
		if len(j.Then.All()) > 0 {
			then = &j.Then
		}
		m.Jobs[name] = jobMeaning{
			Then: then, Definition: j.Hash(), Queue: j.Queue, Priority: j.Priority, Retry: j.Retry, OwnDelays: j.OwnDelays,
			Retention: j.Retention, Unique: j.Unique, Stall: j.Stall, AnyParams: j.Params == nil, Limits: j.limits(),
		}
	}
	for name, s := range c.Schedules {
		m.Schedules[name] = scheduleMeaning{Schedule: *s, Params: PlainJSON(s.Params)}
	}
	return digest(m)
}

// limits bound how a job is run, or say where it finds its work, and do not change what it does.
func (j *Job) limits() []any {
	if j.Spec == nil {
		return nil
	}
	return j.Spec.Limits()
}

// digestOf is the digest of an object.
func digestOf(members []member) string {
	var b bytes.Buffer
	for i, m := range members {
		data, err := json.Marshal(m.value)
		if err != nil {
			data = fmt.Appendf(nil, "%+v", m.value)
		}
		fmt.Fprintf(&b, "%c%q:%s", "{,"[min(i, 1)], m.name, data)
	}
	b.WriteByte('}')
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])
}

// digest is the SHA-256 of v as JSON, which sorts the keys of its maps. Where JSON cannot have v, for a ratio was set to no
// number by hand, it is that of v as text.
func digest(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		data = fmt.Appendf(nil, "%+v", v)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
