package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidemill/tidemill/config/field"
)

// ParamError is a param that a job does not take. It is a mistake of whoever starts the job, not of the configuration.
type ParamError struct {
	Job     string
	Param   string // empty: the params as a whole
	Message string // what is wrong, with the offending value
	Hint    string // what to do; may be empty
}

// Error gives the problem on one line:
//
//	param "day": "tomorrow" is not a date; write it like 2026-01-31
func (e *ParamError) Error() string {
	s := "params: "
	if e.Param != "" {
		s = fmt.Sprintf("param %q: ", e.Param)
	}
	s += e.Message
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// CheckParams reports whether a start may give these params. The error is that of [Job.ResolveParams].
func (j *Job) CheckParams(given json.RawMessage) error {
	_, err := j.ResolveParams(given, time.Time{})
	return err
}

// ResolveParams returns the params of a run that was started with given, a JSON object, and that was due at due.
//
// The result has a value for each param that the job declares: of what was given or else of the default. A value that is
// null counts as not given. The Go types are, by the type of the param:
//
//	text       string
//	integer    int64
//	number     json.Number, with all its digits
//	boolean    bool
//	date       Date
//	timestamp  time.Time
//	uuid       string, in lower case
//	json       json.RawMessage, compact
//
// and nil for a default that is null. A number, truth value and so on may also be given as a text that spells it. A
// default [ScheduledFor] is due, as a date the one that it is in the location of due.
//
// A job whose Params are nil takes any, and the result has them as they are, numbers as json.Number.
//
// The error holds a [*ParamError] for each problem, found with errors.As; nothing else goes wrong.
func (j *Job) ResolveParams(given json.RawMessage, due time.Time) (map[string]any, error) {
	if j.Params == nil {
		values, problem := field.DecodeObject[any](given)
		if problem != "" {
			return nil, j.notParams(problem)
		}
		if name, found := field.NULParam(given); found {
			return nil, &ParamError{Job: j.Name, Param: field.Shorten(name), Message: field.HoldsNUL, Hint: "PostgreSQL stores none; remove it"}
		}
		return values, nil
	}
	texts, problem := field.DecodeObject[json.RawMessage](given)
	if problem != "" {
		return nil, j.notParams(problem)
	}
	values := make(map[string]any, len(j.Params))
	var problems []error
	for _, p := range j.Params {
		value, err := j.resolve(p, texts[p.Name], due)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		values[p.Name] = value
	}
	problems = append(problems, j.unknownParams(texts)...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return values, nil
}

func (j *Job) notParams(problem string) error {
	return &ParamError{Job: j.Name, Message: problem, Hint: `write {"name": "value"}`}
}

// resolve returns the value of p, of which given is nil or null when the start says nothing.
func (j *Job) resolve(p Param, given json.RawMessage, due time.Time) (any, error) {
	if given == nil || field.IsNull(given) {
		switch {
		case p.Default == nil:
			return nil, &ParamError{Job: j.Name, Param: p.Name, Message: "is missing", Hint: fmt.Sprintf("job %s needs it: %s", j.Name, paramWords(p.Type))}
		case p.due():
			return dueParam(p.Type, due), nil
		case field.IsNull(p.Default):
			return nil, nil
		}
		given = p.Default
	}
	value, problem, hint := readParam(p.Type, given)
	if problem != "" {
		return nil, &ParamError{Job: j.Name, Param: p.Name, Message: field.ShowParam(given) + " " + problem, Hint: hint}
	}
	return value, nil
}

// unknownParams reports given names that j does not declare, not more of them than somebody would read.
func (j *Job) unknownParams(given map[string]json.RawMessage) []error {
	names := make([]string, len(j.Params))
	for i, p := range j.Params {
		names[i] = p.Name
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if slices.Contains(names, name) || len(problems) == 10 {
			continue
		}
		hint := "it takes none"
		if len(names) > 0 {
			hint = field.DidYouMean(name, names)
		}
		problems = append(problems, &ParamError{
			Job: j.Name, Param: field.Shorten(name), Message: fmt.Sprintf("job %s has no such param", j.Name), Hint: hint,
		})
	}
	return problems
}

// due reports whether the default of p is the due time of the run.
func (p Param) due() bool {
	return (p.Type == DateParam || p.Type == TimestampParam) && string(p.Default) == `"`+ScheduledFor+`"`
}

func dueParam(paramType string, due time.Time) any {
	if paramType == DateParam {
		return DateOf(due)
	}
	return due
}
