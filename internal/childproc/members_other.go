//go:build unix && !linux

package childproc

func onlyZombies(int) bool { return false }
