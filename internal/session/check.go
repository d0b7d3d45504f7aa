package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	checkBound = 20 * time.Second
	closeBound = 2 * time.Second
)

// turns says which of two connections speaks next. They do not simply alternate: a pooler that gives its sessions out in turn
// would show each of them the same one every time.
const turns = "abbaaabbbabaab"

// Check finds out whether connections made from config have sessions of their own, from their beginning to their end. Two
// are open at the same time and look whether each finds its own mark again, and a third one whether they left it behind.
// The error is ErrShared or ErrNotReset if they have not.
func Check(ctx context.Context, config *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, checkBound)
	defer cancel()
	a, err := open(ctx, config)
	if err != nil {
		return err
	}
	defer a.close(ctx)
	b, err := open(ctx, config)
	if err != nil {
		return fmt.Errorf("a second connection beside the first (a pooler must allow as many as a worker needs): %w", err)
	}
	defer b.close(ctx)
	for _, turn := range turns {
		c := a
		if turn == 'b' {
			c = b
		}
		if err := c.look(ctx); err != nil {
			return err
		}
	}
	a.close(ctx)
	b.close(ctx)
	return checkReset(ctx, config, a.mark, b.mark)
}

// checkReset looks whether a new connection has the session of a closed one, and what that left.
func checkReset(ctx context.Context, config *pgx.ConnConfig, marks ...string) error {
	config = config.Copy()
	config.AfterConnect = nil
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c := marked{conn: conn}
	defer c.close(ctx)
	left, err := c.read(ctx)
	if err != nil {
		return err
	}
	for _, mark := range marks {
		if left == mark {
			return ErrNotReset
		}
	}
	return nil
}

// marked is a connection, and the mark that its session was given.
type marked struct {
	conn *pgx.Conn
	mark string
}

func open(ctx context.Context, config *pgx.ConnConfig) (*marked, error) {
	mark := rand.Text()
	config = config.Copy()
	after(config, func(ctx context.Context, conn *pgconn.PgConn) error { return apply(ctx, conn, mark, nil) })
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &marked{conn: conn, mark: mark}, nil
}

func (c *marked) look(ctx context.Context) error {
	found, err := c.read(ctx)
	if err != nil {
		return err
	}
	if found != c.mark {
		return ErrShared
	}
	return nil
}

func (c *marked) read(ctx context.Context) (string, error) {
	found, err := get(ctx, c.conn.PgConn(), []string{marker})
	if err != nil {
		return "", fmt.Errorf("look whose session it is: %w", err)
	}
	return found[0], nil
}

func (c *marked) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
	defer cancel()
	_ = c.conn.Close(ctx)
}
