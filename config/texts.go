package config

import (
	"errors"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/sqlparams"
)

// The functions here judge a text: they return what is wrong with it, as words that follow the text or, where it is
// secret, the name of the field; and what to do.

func CheckTimezone(s string) (problem, hint string) {
	const example = "write it like Asia/Tokyo, Europe/Berlin or UTC"
	if s == "" || s == "Local" { // Go's names for UTC and for whatever the machine has
		return "is not a time zone", example
	}
	if _, err := time.LoadLocation(s); err != nil {
		return "is not a time zone", example
	}
	return "", ""
}

// checkMailURL leaves the query to the sender to judge.
func checkMailURL(s string) (problem, hint string) {
	const example = "write it like smtp://user:password@host:587, with special characters of the password as %40 and so on"
	if s == "" {
		return "", ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "smtp" && u.Scheme != "smtps":
		return "is not a URL of scheme smtp or smtps", example
	case !IsHost(u):
		return "has no valid host and port", example
	case u.Path != "" && u.Path != "/" || u.Fragment != "":
		return "has something after the host", example
	}
	return "", ""
}

// IsHost reports whether u has a host and, if any, a port that there can be.
func IsHost(u *url.URL) bool {
	if u.Hostname() == "" {
		return false
	}
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

// CheckAddress takes one mail address, with or without the name of a person. Empty counts as absent.
func CheckAddress(s string) (problem, hint string) {
	if s == "" {
		return "", ""
	}
	if _, err := mail.ParseAddress(s); err != nil || strings.ContainsAny(s, "\r\n") {
		return "is not a mail address", "write it like jobs@example.com or Jobs <jobs@example.com>"
	}
	return "", ""
}

// DollarHint is for SQL that was written as in a file of SQL.
func DollarHint(err error) string {
	if _, ok := errors.AsType[*sqlparams.DollarError](err); ok {
		return "$$ in this file is one dollar: write $$$$ for the $$ of PostgreSQL, or $body$"
	}
	return ""
}
