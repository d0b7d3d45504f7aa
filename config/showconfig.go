package config

import "github.com/tidemill/tidemill/config/field"

// Show returns all of the configuration.
func (c *Config) Show() *field.Shown {
	fields := c.fields().Infos()
	return field.Show(fields, fields, c.root, c.root)
}

// ShowJob returns one job, false if there is none of that name.
func (c *Config) ShowJob(name string) (*field.Shown, bool) {
	n, _, found := field.Locate(c.root, []string{"jobs", name})
	if !found {
		return nil, false
	}
	return field.Show(newJobs(c.kinds, c).fieldsOf(n), c.fields().Infos(), n, c.root), true
}
