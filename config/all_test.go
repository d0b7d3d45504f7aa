package config

// allKinds are the built-in ones.
func allKinds() []Kind {
	return []Kind{ImportKind(), HTTPKind(), CommandKind(), EmailKind(), SQLKind(), ExportKind(), CleanupKind(), EachKind()}
}
