package config

// Show returns all of the configuration.
func (c *Config) Show() *Shown {
	fields := c.fields().infos()
	return show(fields, fields, c.root, c.root)
}

// ShowJob returns one job, false if there is none of that name.
func (c *Config) ShowJob(name string) (*Shown, bool) {
	n, _, found := locate(c.root, []string{"jobs", name})
	if !found {
		return nil, false
	}
	return show(newJobs(c.kinds, c).fieldsOf(n), c.fields().infos(), n, c.root), true
}
