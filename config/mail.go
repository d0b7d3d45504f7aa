package config

// Mail says how mail is sent.
type Mail struct {
	URL       string // smtp:// or smtps://, with user and password; empty: not configured
	From      string
	Templates string // directory; empty: none
}
