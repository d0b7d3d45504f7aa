package tidemill

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/session"
)

func (a *App) poolConfig() (*pgxpool.Config, error) {
	text := a.Config.Database.URL
	if text == "" {
		return nil, errors.New(`database.url is not set; add for example database: {url: "${DATABASE_URL}"}`)
	}
	// The text may come from the environment, and be checked by nobody else.
	if problem, hint := config.CheckDatabaseURL(text); problem != "" {
		return nil, fmt.Errorf("database.url: %s; %s", problem, hint)
	}
	c, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("database.url: %w", unreadable(err))
	}
	// pgx asks a silent network only every five minutes whether the other end is still there.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3}}
	c.ConnConfig.DialFunc = dialer.DialContext
	session.Greet(c.ConnConfig, a.pooled)
	return c, nil
}

// unreadable says why a database URL cannot be read, without any part of it: where a special character of the password was
// taken for the end of it, every part may hold some.
func unreadable(err error) error {
	why := "it cannot be read; write it like postgres://user@host:5432/name, with special characters of the password as %40 and so on"
	var parsing *pgconn.ParseConfigError
	if !errors.As(err, &parsing) {
		return &redacted{text: why, err: err}
	}
	var inURL *url.Error
	inner := parsing.Unwrap()
	if inner == nil || errors.As(inner, &inURL) {
		return &redacted{text: why, err: err}
	}
	// What is said about settings names them, and not what is before them.
	text := inner.Error()
	for _, part := range regexp.MustCompile(`[^\s:/@?&='"]+`).FindAllString(userinfoOf(parsing.ConnString), -1) {
		if strings.Contains(text, part) {
			return &redacted{text: why, err: err}
		}
	}
	return &redacted{text: "it cannot be read (" + text + ")", err: err}
}

// userinfoOf is all that may hold a password.
func userinfoOf(text string) string {
	if _, rest, isURL := strings.Cut(text, "://"); isURL {
		return rest[:strings.LastIndexByte(rest, '@')+1]
	}
	return strings.Join(passwordSetting().FindAllString(text, -1), " ")
}

// passwordSetting is a password as a keyword of a connection string has it.
func passwordSetting() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'?|(?:[^\s'\\]|\\.)+)`)
}

// withoutPassword keeps an error's chain but not a password that its text may repeat from the URL. The user ends at the last @
// before a space, whatever is in the password.
func withoutPassword(err error) error {
	text := regexp.MustCompile(`(://[^:/@\s]*:)\S*@`).ReplaceAllString(err.Error(), "${1}xxxxx@")
	text = passwordSetting().ReplaceAllString(text, "${1}xxxxx")
	if text == err.Error() {
		return err
	}
	return &redacted{text: text, err: err}
}

type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.err }

// DatabaseName describes the database without its password, for people.
func (a *App) DatabaseName() string {
	c, err := a.poolConfig()
	if err != nil {
		return "the configured database"
	}
	at := &url.URL{
		Scheme: "postgres", User: url.User(c.ConnConfig.User), Host: fmt.Sprintf("%s:%d", c.ConnConfig.Host, c.ConnConfig.Port), Path: "/" + c.ConnConfig.Database,
	}
	return at.String()
}
