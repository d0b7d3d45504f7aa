package config

// Server is the HTTP server.
type Server struct {
	Listen      string   // host:port; empty: none
	CronSecrets []string // each opens /api/cron/ and nothing else; none: it is closed
	Tokens      []Token
}

// What the bearer of a [Token] may do; each role may do what those before it may.
const (
	RoleViewer   = "viewer"   // look
	RoleOperator = "operator" // start, pause, cancel and retry
	RoleAdmin    = "admin"    // everything
)

// Token lets its bearer use the server.
type Token struct {
	Name  string // who it was given to, for the record
	Role  string // RoleViewer, RoleOperator or RoleAdmin
	Token string
}
