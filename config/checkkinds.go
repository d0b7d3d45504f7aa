package config

import (
	"slices"

	"github.com/tidemill/tidemill/internal/sqlparams"
)

// checkEmail looks for what a mail needs of the job and of the top-level mail.
func (d *decoder) checkEmail(e *Email, at path) {
	m := d.config.Mail
	if m.URL == "" && d.sure(path{"mail"}, "url") {
		d.problem(at.join("kind"), `say how mail is sent: mail: {url: "${MAIL_URL}", from: jobs@example.com}`, "kind email needs mail.url")
	}
	if e.From == "" && m.From == "" && d.sure(path{"mail"}, "from") && d.sure(at, "from") {
		d.problem(at, "add from: here or to mail", "from is missing")
	}
	if !d.sure(at, "template", "text", "html") {
		return
	}
	inline := e.Text != "" || e.HTML != ""
	switch {
	case e.Template == "" && !inline:
		d.problem(at, "add text:, html: or template:", "the mail has no body")
	case e.Template != "" && inline:
		d.problem(at.join("template"), "remove it, or text and html", "the body is given here and in text or html")
	case e.Template != "" && m.Templates == "" && d.sure(path{"mail"}, "templates"):
		d.problem(at.join("template"), "say where templates are: mail: {templates: ./mail}", "needs mail.templates")
	}
	for i, file := range e.Attach {
		if file == "" {
			d.problem(at.join("attach", index(i)), "", "names no file")
		}
	}
}

func (d *decoder) checkSQL(j *Job, at path) { d.checkBound(j.SQL.Statement, "statement", j, at) }

// checkBound compares the names in the SQL of a field with the params of the job.
func (d *decoder) checkBound(sql, field string, j *Job, at path) {
	if !d.sure(at, field, "params") {
		return
	}
	_, names, err := sqlparams.Bind(sql)
	if err != nil { // reported with the field
		return
	}
	if len(names) > maxParams {
		d.problem(at.join(field), "take one param of type json", "has more than the %d params that a job can have", maxParams)
		return
	}
	declared := make([]string, len(j.Params))
	for i, p := range j.Params {
		declared[i] = p.Name
		if !slices.Contains(names, p.Name) {
			d.problem(at.join("params", p.Name), "write :"+p.Name+" where it belongs, outside of quotes and $$, or remove it", "is not in the %s", field)
		}
	}
	for _, name := range names {
		if slices.Contains(declared, name) {
			continue
		}
		hint := "add it, such as params: {" + shorten(name) + ": text}; a slice of an array needs a space behind the colon"
		if s := suggest(name, declared); s != "" {
			hint = "did you mean :" + s + "?"
		}
		d.problem(at.join(field), hint, ":%s is not among params", shorten(name))
	}
}
