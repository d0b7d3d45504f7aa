package house

import (
	"go/ast"
	"path"
	"slices"
	"strings"
)

// exported are the names that a package shows to programs outside this module, sorted: Name, Type.Method, Type.Field.
func (r *repository) exported(pkg string) []string {
	var all []string
	add := func(under string, name *ast.Ident) {
		if name.IsExported() {
			all = append(all, under+name.Name)
		}
	}
	for _, f := range r.goes {
		if f.pkg != pkg || f.test {
			continue
		}
		for _, declared := range f.ast.Decls {
			switch declared := declared.(type) {
			case *ast.FuncDecl:
				if declared.Recv == nil {
					add("", declared.Name)
				} else if on := receiver(declared.Recv.List[0].Type); ast.IsExported(on) {
					add(on+".", declared.Name)
				}
			case *ast.GenDecl:
				for _, spec := range declared.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							add("", name)
						}
					case *ast.TypeSpec:
						add("", spec.Name)
						if spec.Name.IsExported() {
							members(spec, add)
						}
					}
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all) // one name may have a file for each operating system
}

// members adds the fields of a struct, embedded ones too, and the methods of an interface.
func members(spec *ast.TypeSpec, add func(under string, name *ast.Ident)) {
	var list *ast.FieldList
	switch kind := spec.Type.(type) {
	case *ast.StructType:
		list = kind.Fields
	case *ast.InterfaceType:
		list = kind.Methods
	default:
		return
	}
	for _, field := range list.List {
		for _, name := range field.Names {
			add(spec.Name.Name+".", name)
		}
		if len(field.Names) == 0 {
			if name := receiver(field.Type); name != "" {
				add(spec.Name.Name+".", ast.NewIdent(name))
			}
		}
	}
}

// receiver is the name of a type, whatever stands around it.
func receiver(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.Ident:
		return expr.Name
	case *ast.StarExpr:
		return receiver(expr.X)
	case *ast.IndexExpr:
		return receiver(expr.X)
	case *ast.IndexListExpr:
		return receiver(expr.X)
	case *ast.SelectorExpr:
		return expr.Sel.Name
	}
	return ""
}

// public are the packages that other modules can import.
func (r *repository) public() []string {
	var all []string
	for _, pkg := range r.packages() {
		parts := strings.Split(pkg, "/")
		if slices.Contains(parts, "internal") || slices.Contains([]string{"bench", "cmd", "examples"}, parts[0]) {
			continue
		}
		all = append(all, pkg)
	}
	return all
}

// importPath is how a program imports a package of ours.
func importPath(pkg string) string { return path.Join(module, pkg) }
