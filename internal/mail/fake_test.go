package mail_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/tidemill/tidemill/internal/mail"
)

// What a scripted server does in place of an answer.
const (
	hangUp = "hang up"
	silent = "silent"
)

// scripted is a server that answers each verb as its script says, "." being the end of a mail.
type scripted struct {
	script map[string]string

	mu    sync.Mutex
	lines []string // commands received
	mails int      // complete ones
}

// startScripted starts a server that answers what script does not mention as a friendly one would.
func startScripted(t *testing.T, script map[string]string) (*scripted, mail.Server) {
	t.Helper()
	s := &scripted{script: map[string]string{
		"": "220 hi", "EHLO": "250-hi\r\n250 SIZE 100000", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", ".": "250 taken", "RSET": "250 ok", "QUIT": "221 bye",
	}}
	for verb, answer := range script {
		s.script[verb] = answer
	}
	return s, serve(t, s.talk)
}

// serve accepts connections until the test ends.
func serve(t *testing.T, talk func(net.Conn)) mail.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	stop, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		group.Wait()
	})
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(stop, func() { _ = conn.Close() })()
				talk(conn)
			})
		}
	})
	return serverAt(t, l.Addr())
}

func serverAt(t *testing.T, addr net.Addr) mail.Server {
	t.Helper()
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return mail.Server{Host: host, Port: number, TLS: mail.NoTLS}
}

func (s *scripted) talk(conn net.Conn) {
	r := bufio.NewReader(conn)
	if !s.answer(conn, "") {
		return
	}
	inMail := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(line, " ")
		if inMail {
			if line != "." {
				continue
			}
			verb = "."
		}
		s.mu.Lock()
		s.lines = append(s.lines, line)
		if inMail {
			s.mails++
		}
		s.mu.Unlock()
		if !s.answer(conn, verb) {
			return
		}
		inMail = verb == "DATA" && strings.HasPrefix(s.script["DATA"], "354")
	}
}

// answer reports whether the conversation continues.
func (s *scripted) answer(conn net.Conn, verb string) bool {
	answer, ok := s.script[verb]
	switch {
	case !ok:
		answer = "502 what?"
	case answer == hangUp:
		return false
	case answer == silent:
		_, _ = io.Copy(io.Discard, conn) // until the other side leaves
		return false
	}
	_, err := io.WriteString(conn, answer+"\r\n")
	return err == nil
}

func (s *scripted) seen() (lines []string, mails int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...), s.mails
}

// authority makes a certificate for 127.0.0.1 that is its own authority, and a file that says so.
func authority(t *testing.T) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, file
}

// inbox is a real server that keeps what it takes and, if it has users, asks for one.
type inbox struct {
	mechanisms []string
	users      map[string]string

	mu    sync.Mutex
	taken []string // recipients
	mails []string
}

type inboxSession struct {
	*inbox
	in bool
	to string
}

var _ smtp.AuthSession = (*inboxSession)(nil)

func startInbox(t *testing.T, box *inbox, config *tls.Config, implicit bool) mail.Server {
	t.Helper()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &inboxSession{inbox: box}, nil }))
	server.Domain = "mx.test"
	server.TLSConfig = config
	server.AllowInsecureAuth = true
	server.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableSMTPUTF8 = config != nil
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := serverAt(t, l.Addr())
	if implicit {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return at
}

func (s *inboxSession) AuthMechanisms() []string { return s.mechanisms }

func (s *inboxSession) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if want, ok := s.users[user]; !ok || want != password {
			return smtp.ErrAuthFailed
		}
		s.in = true
		return nil
	}
	switch mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case "LOGIN":
		return &loginServer{check: check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// loginServer is AUTH LOGIN, which package sasl has for clients only.
type loginServer struct {
	check func(user, password string) error
	step  int
	user  string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	default:
		return nil, true, l.check(l.user, string(response))
	}
}

func (s *inboxSession) Mail(string, *smtp.MailOptions) error {
	if s.users != nil && !s.in {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *inboxSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }

func (s *inboxSession) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, s.to)
	s.mails = append(s.mails, string(content))
	return nil
}

func (s *inboxSession) Reset()        {}
func (s *inboxSession) Logout() error { return nil }
