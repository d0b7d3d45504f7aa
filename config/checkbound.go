package config

import (
	"slices"

	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/sqlparams"
)

// CheckBound compares the names in the SQL of a field with the params of the job.
func (d *Checker) CheckBound(sql, from string, j *Job, at field.Path) {
	if !d.Checkable(at, from, "params") {
		return
	}
	_, names, err := sqlparams.Bind(sql)
	if err != nil { // reported with the field
		return
	}
	if len(names) > maxParams {
		d.Problem(at.Join(from), "take one param of type json", "has more than the %d params that a job can have", maxParams)
		return
	}
	declared := make([]string, len(j.Params))
	for i, p := range j.Params {
		declared[i] = p.Name
		if !slices.Contains(names, p.Name) {
			d.Problem(at.Join("params", p.Name), "write :"+p.Name+" where it belongs, outside of quotes and $$, or remove it", "is not in the %s", from)
		}
	}
	for _, name := range names {
		if slices.Contains(declared, name) {
			continue
		}
		hint := "add it, such as params: {" + field.Shorten(name) + ": text}; a slice of an array needs a space after the colon"
		if s := field.Suggest(name, declared); s != "" {
			hint = "did you mean :" + s + "?"
		}
		d.Problem(at.Join(from), hint, ":%s is not among params", field.Shorten(name))
	}
}
