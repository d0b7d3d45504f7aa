// Package session makes database sessions of one's own, and runs the background loops on them: a Keeper has one that
// loops share, a Role is what the session of one process of all does, loops wait and back off by Loop.
//
// Sessions say who they are and how they are set after they were connected, read it back, and are refused if they are not what was
// asked for.
//
// Parameters of the connection itself would be simpler, but a pooler between refuses those that it does not know, or, told to
// ignore them, drops them without a word. Whether a pooler hands the session on to other clients is found out by Check.
package session
