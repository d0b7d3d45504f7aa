package chaos

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// fault is what can befall a wire.
type fault string

const (
	fine fault = "fine"
	// cut resets all connections, and new ones as they are made.
	cut fault = "cut"
	// stall holds back every byte, of new connections too, until the wire is fine.
	stall fault = "stall"
	// halfOpen closes the server's side. The worker's side stays open and silent for good; so do new connections.
	halfOpen fault = "half-open"
	// forgotten is halfOpen with new connections that pass, as with a firewall that has lost its table.
	forgotten fault = "forgotten"
)

// wire carries one worker's connections to the database. Toxiproxy has no half-open ones.
type wire struct {
	network  string // of the target
	target   string
	listener net.Listener

	mu    sync.Mutex
	state fault
	open  chan struct{} // closed while bytes pass
	links map[*link]bool
}

// link is one connection through a wire.
type link struct {
	near, far net.Conn
	closed    chan struct{}
	once      sync.Once
	muted     bool // by wire.mu: far is gone, and near must not know
}

// newWire returns a wire to the database, and the database's URL at its near end.
func newWire(t *testing.T, database string) (*wire, string) {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{state: fine, open: make(chan struct{}), links: map[*link]bool{}}
	w.network, w.target = pgconn.NetworkAddress(config.Host, config.Port)
	close(w.open)
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	near := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: w.listener.Addr().String(),
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	var serving sync.WaitGroup
	serving.Go(func() { w.serve() })
	t.Cleanup(func() {
		_ = w.listener.Close()
		serving.Wait()
		w.set(fine)
		w.mu.Lock()
		defer w.mu.Unlock()
		for l := range w.links {
			l.close()
		}
	})
	return w, near.String()
}

// set brings a fault, or ends it.
func (w *wire) set(state fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = state
	select {
	case <-w.open:
		if state == stall {
			w.open = make(chan struct{})
		}
	default:
		if state != stall {
			close(w.open)
		}
	}
	for l := range w.links {
		switch state {
		case cut:
			l.reset()
		case halfOpen, forgotten:
			l.mute()
		}
	}
}

func (w *wire) now() (fault, chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.open
}

func (w *wire) serve() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		go w.carry(near)
	}
}

func (w *wire) carry(near net.Conn) {
	l := &link{near: near, closed: make(chan struct{})}
	w.mu.Lock()
	state := w.state
	l.muted = state == halfOpen
	w.links[l] = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.links, l)
	}()
	if state == cut {
		l.reset()
		return
	}
	if w.pass(l) {
		far, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), w.network, w.target)
		if err != nil {
			l.close()
			return
		}
		w.mu.Lock()
		l.far = far
		select {
		case <-l.closed: // by a fault, before there was a far end to close
			_ = far.Close()
		default:
		}
		w.mu.Unlock()
		back := make(chan struct{})
		go func() { defer close(back); w.pump(l, near, far) }()
		w.pump(l, far, near)
		<-back
	}
	w.mu.Lock()
	muted := l.muted
	w.mu.Unlock()
	if !muted {
		l.close()
		return
	}
	// Whatever the worker still says is taken, and never answered.
	buf := make([]byte, 4<<10)
	for {
		if _, err := near.Read(buf); err != nil {
			l.close()
			return
		}
	}
}

// pump carries one direction, until an end closes.
func (w *wire) pump(l *link, to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && w.pass(l) {
			if _, err := to.Write(buf[:n]); err != nil {
				n = 0
			}
		}
		w.mu.Lock()
		muted := l.muted
		w.mu.Unlock()
		if muted {
			return
		}
		if err != nil || n == 0 {
			l.close()
			return
		}
	}
}

// pass waits until bytes may pass, and is false if they never will.
func (w *wire) pass(l *link) bool {
	_, open := w.now()
	select {
	case <-open:
	case <-l.closed:
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !l.muted
}

func (l *link) mute() {
	l.muted = true
	if l.far != nil {
		_ = l.far.Close()
	}
	// Wakes the pump that reads it.
	_ = l.near.SetReadDeadline(time.Now())
	_ = l.near.SetReadDeadline(time.Time{})
}

func (l *link) reset() {
	if tcp, ok := l.near.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	l.close()
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.closed)
		_ = l.near.Close()
		if l.far != nil {
			_ = l.far.Close()
		}
	})
}
