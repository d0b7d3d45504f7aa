package mail

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// TLSMode says how the connection is kept private.
type TLSMode string

// The modes; StartTLS and Opportunistic begin in the clear.
const (
	ImplicitTLS   TLSMode = "tls"           // from the first byte; smtps://
	StartTLS      TLSMode = "starttls"      // the server must offer it
	Opportunistic TLSMode = "opportunistic" // if the server offers it
	NoTLS         TLSMode = "none"
)

// Server says where mail is handed over. It holds a password; String leaves it out.
type Server struct {
	Host           string
	Port           int
	TLS            TLSMode
	User, Password string
	CA             string // file of certificates to trust in place of the system's; empty: the system's
	EHLO           string // what this machine calls itself; empty: its hostname
}

const (
	submissionPort  = 587
	submissionsPort = 465
)

// ParseServer reads a URL:
//
//	smtp://user:password@host:587     STARTTLS is required; without TLS on a loopback host
//	smtps://user:password@host:465    TLS from the first byte
//
// with ?tls=starttls, opportunistic or none for smtp, ?ca=FILE for a private certificate authority and ?ehlo=NAME. Its errors
// never repeat any part of the URL, which may be of the password.
func ParseServer(raw string) (Server, error) {
	const form = "write it like smtp://user:password@host:587, with special characters of the password as %XX"
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return Server{}, errors.New("not a URL; " + form)
	}
	s := Server{Host: u.Hostname()}
	switch u.Scheme {
	case "smtp":
		s.Port, s.TLS = submissionPort, StartTLS
		if s.loopback() {
			s.TLS = NoTLS
		}
	case "smtps":
		s.Port, s.TLS = submissionsPort, ImplicitTLS
	default:
		return Server{}, errors.New("neither smtp:// nor smtps://; " + form)
	}
	if s.Host == "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return Server{}, errors.New("not just a host and a port; " + form)
	}
	if port := u.Port(); port != "" {
		if s.Port, err = strconv.Atoi(port); err != nil || s.Port < 1 || s.Port > 65535 {
			return Server{}, errors.New("the port is not from 1 to 65535")
		}
	}
	if u.User != nil {
		s.User = u.User.Username()
		s.Password, _ = u.User.Password()
		if s.User == "" || strings.ContainsAny(s.User+s.Password, "\x00\r\n") {
			return Server{}, errors.New("the user's name is empty, or it or the password holds a control character; " + form)
		}
	}
	return s.options(u.RawQuery)
}

func (s Server) options(query string) (Server, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return Server{}, errors.New("what follows ? is not name=value")
	}
	for name, given := range values {
		value := given[len(given)-1]
		switch name {
		case "tls":
			mode := TLSMode(value)
			if s.TLS == ImplicitTLS || !slices.Contains([]TLSMode{StartTLS, Opportunistic, NoTLS}, mode) {
				return Server{}, errors.New("tls is starttls, opportunistic or none, and only for smtp://")
			}
			s.TLS = mode
		case "ca":
			s.CA = value
		case "ehlo":
			if !hostname(value) {
				return Server{}, errors.New("ehlo is not the name of a host")
			}
			s.EHLO = value
		default:
			return Server{}, errors.New("an option after ? is none of tls, ca, ehlo")
		}
	}
	return s, nil
}

// String is the address without user and password.
func (s Server) String() string { return fmt.Sprintf("%s://%s", s.scheme(), s.address()) }

// GoString keeps the password out of %#v.
func (s Server) GoString() string { return s.String() }

func (s Server) scheme() string {
	if s.TLS == ImplicitTLS {
		return "smtps"
	}
	return "smtp"
}

func (s Server) address() string {
	return net.JoinHostPort(s.Host, strconv.Itoa(cmp.Or(s.Port, submissionPort)))
}

// loopback reports whether what is sent stays on this machine.
func (s Server) loopback() bool {
	ip := net.ParseIP(s.Host)
	return strings.EqualFold(s.Host, "localhost") || ip != nil && ip.IsLoopback()
}

func hostname(name string) bool {
	return name != "" && len(name) <= 255 && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") == ""
}
