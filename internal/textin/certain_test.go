package textin

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/unicode/norm"
)

// The encodings that files in these languages come in.
var (
	western  = []encoding.Encoding{charmap.Windows1252, charmap.ISO8859_1, charmap.ISO8859_15, charmap.Macintosh, charmap.CodePage850, charmap.CodePage437, charmap.CodePage865}
	central  = []encoding.Encoding{charmap.Windows1250, charmap.ISO8859_2, charmap.CodePage852, charmap.ISO8859_16}
	turkish  = []encoding.Encoding{charmap.Windows1254, charmap.ISO8859_9}
	baltic   = []encoding.Encoding{charmap.Windows1257, charmap.ISO8859_13, charmap.ISO8859_4}
	cyrillic = []encoding.Encoding{charmap.Windows1251, charmap.KOI8R, charmap.KOI8U, charmap.CodePage866, charmap.ISO8859_5, charmap.MacintoshCyrillic}
	greek    = []encoding.Encoding{charmap.Windows1253, charmap.ISO8859_7}
	japan    = []encoding.Encoding{japanese.ShiftJIS, japanese.EUCJP}
	chinese  = []encoding.Encoding{simplifiedchinese.GBK, simplifiedchinese.GB18030}
)

// Texts as they are in files; each line is a file of its own too, and so is each word.
var languages = []struct {
	name      string
	encodings []encoding.Encoding
	text      string
}{
	{"French", western, "prénom;nom;ville\nHélène;Lefèvre;Orléans\nFrançois;Noël;Saint-Étienne\nAnaïs;Dupré;Nîmes\nréglé le 5 août, à vérifier\nJérôme;Bœuf;Besançon\nl’été d’Angèle\n"},
	{"German", western, "Vorname;Nachname;Straße\nJürgen;Müller;Königsallee 5\nKäthe;Weiß;Größlingstraße 7\nÖzil;Übelhör;Äußere Gasse\n"},
	{"Spanish", western, "nombre,ciudad\nJosé,A Coruña\nMaría,Málaga\nÍñigo,León\nPeña,Cádiz\nNúñez,Cáceres\n¿Cuándo?,mañana\n"},
	{"Portuguese", western, "nome,cidade\nJoão,São Paulo\nConceição,Évora\nAntónio,Guimarães\nInês,Setúbal\nLuís,Camões\n"},
	{"Italian", western, "nome,città\nNicolò,Forlì\nperché è così,è già più\nMetà,virtù\n"},
	{"Danish", western, "navn,by\nSøren Ærø,Århus\nAsbjørn,Tårnby\nJørgen,Rødøvre\nKæthe,Fåborg\n"},
	{"Swedish", western, "namn,ort\nÅke Öberg,Malmö\nBjörn Sjöström,Västerås\nMärta,Gävle\n"},
	{"Icelandic", western[:4], "nafn,staður\nGuðmundur,Þórshöfn\nÞóra Sigurðardóttir,Reykjavík\nÝmir,Ísafjörður\n"},
	{"Catalan", western[:4], "nom,lloc\nNúria,Vilafranca del Penedès\nJordi Garcia i Solà,Terrassa\nFrancesc Macià,plaça de Sants\n"},
	{"English", western[:4], "item,note\ncafé,it’s “fine” – don’t ask\nnaïve,£20 or €25\nO’Brien,résumé…\n"},
	{"of many", western[:2], "José Núñez\nJürgen Müller\nSøren Kjær\nHélène Dupré\nFrançois Léger\nJoão Gonçalves\nÅsa Lindström\nÞór Jónsson\n"},
	{"Polish", central, "imię,nazwisko,miasto\nŁukasz,Wiśniewski,Łódź\nMałgorzata,Wójcik,Gdańsk\nStanisław,Dąbrowski,Poznań\nZofia,Kozień,Kraków\nBożena,Zając,Częstochowa\n"},
	{"Czech", central, "jméno,příjmení,město\nJiří,Dvořák,Plzeň\nTomáš,Novotný,Brno\nVěra,Růžičková,Děčín\nMarie,Vlčková,Třebíč\n"},
	{"Slovak", central[:3], "meno,priezvisko,mesto\nĽubomír,Kováč,Košice\nJán,Hôrka,Žilina\nŠtefan,Krajčír,Prešov\n"},
	{"Hungarian", central, "név,város\nErzsébet Szőke,Győr\nLászló Kovács,Pécs\nÖrs Tűhegyi,Székesfehérvár\n"},
	{"Romanian", central, "nume,oraș\nȘtefan Țepeș,Brașov\nMărioara,Iași\nIonuț Brătianu,Râmnicu Vâlcea\nCătălin,Bacău\n"},
	{"Croatian", central, "ime,grad\nŽeljko Kovačić,Šibenik\nĐurđa Petrović,Požega\nMate Jurčić,Čakovec\n"},
	{"Turkish", turkish, "ad,soyad,şehir\nAyşe,Yılmaz,İstanbul\nGökçe,Çağlar,Muğla\nOğuz,Şahin,Eskişehir\nIşıl,Öztürk,Diyarbakır\n"},
	{"Lithuanian", baltic, "vardas,miestas\nJonas Žukauskas,Šiauliai\nRūta Petraitytė,Panevėžys\nJūratė,Kėdainiai\nĄžuolas,Įžulė\nVytautas Ąžuolų,Mažeikių\n"},
	{"Latvian", baltic, "vārds,pilsēta\nJānis Bērziņš,Rīga\nKristīne Ozoliņa,Jūrmala\nĢirts Kalniņš,Liepāja\nĒriks,Ķekava\n"},
	{"Estonian", []encoding.Encoding{charmap.Windows1257, charmap.ISO8859_13, charmap.Windows1252, charmap.ISO8859_15}, "nimi,linn\nÜlle Põld,Pärnu\nTõnu Mägi,Võru\nÕnne,Jõhvi\n"},
	{"Russian", cyrillic, "имя,фамилия,город\nИван,Петров,Москва\nЮлия,Щербакова,Санкт-Петербург\nФёдор,Чехов,Нижний Новгород\nя и ты\n"},
	{"Ukrainian", []encoding.Encoding{charmap.Windows1251, charmap.KOI8U}, "ім'я,місто\nЄвген,Київ\nІрина,Львів\nЮрій,Запоріжжя\n"},
	{"Bulgarian", cyrillic[:1], "име,град\nИван Георгиев,София\nДесислава,Велико Търново\n"},
	{"Greek", greek, "όνομα,πόλη\nΓιώργος,Αθήνα\nΜαρία,Θεσσαλονίκη\nΝίκος,Πάτρα\n"},
	{"Hebrew", []encoding.Encoding{charmap.Windows1255, charmap.ISO8859_8}, "שם,עיר\nדוד כהן,ירושלים\nרות לוי,חיפה\n"},
	{"Arabic", []encoding.Encoding{charmap.Windows1256, charmap.ISO8859_6}, "اسم,مدينة\nمحمد,القاهرة\nفاطمة,دمشق\n"},
	{"Thai", []encoding.Encoding{charmap.Windows874}, "ชื่อ,เมือง\nสมชาย,กรุงเทพ\nมาลี,เชียงใหม่\n"},
	{"Vietnamese", []encoding.Encoding{charmap.Windows1258}, "tên,nơi\nNguyễn Thị Hương,Hà Nội\nTrần Đức,Đà Nẵng\n"},
	{"Japanese", japan, "顧客番号,氏名,フリガナ,住所,備考\n1001,佐藤 一郎,サトウ イチロウ,東京都千代田区千代田１－１,\n1002,鈴木 花子,スズキ ハナコ,大阪府大阪市北区梅田２丁目,至急お願いします。\n山田 太郎\n高橋 健太,ｶﾌﾞｼｷｶﾞｲｼｬ ﾀｶﾊｼ\nいつもお世話になっております。\n渡辺 翔,横浜市中区\n"},
	{"Chinese", chinese, "客户编号,姓名,地址,备注\n1001,张伟,北京市朝阳区建国路八十八号,请尽快发货\n1002,王芳,上海市浦东新区世纪大道,\n李娜,广东省深圳市南山区科技园\n刘洋\n陈静,谢谢您的订单，我们会尽快联系您。\n赵磊,杭州\n"},
	{"Taiwan", []encoding.Encoding{traditionalchinese.Big5}, "客戶編號,姓名,地址\n1001,陳志明,台北市信義區信義路五段七號\n1002,林淑芬,高雄市前鎮區中山二路\n黃雅婷,新北市板橋區\n李家豪\n"},
	{"Korean", []encoding.Encoding{korean.EUCKR}, "고객번호,이름,주소,비고\n1001,김민수,서울특별시 강남구 테헤란로,빠른 배송 부탁드립니다\n1002,이영희,부산광역시 해운대구 우동,\n박지훈,대구광역시 수성구\n최유진\n정호,안녕하세요\n"},
}

// TestNoTextInAWrongEncoding: whatever language and encoding a file is in, and however short it is, it is read as it was
// written or not at all.
func TestNoTextInAWrongEncoding(t *testing.T) {
	t.Parallel()
	for _, l := range languages {
		for _, e := range l.encodings {
			t.Run(l.name+"/"+strings.ReplaceAll(nameOf(e), "/", " "), func(t *testing.T) {
				t.Parallel()
				lines := strings.SplitAfter(strings.TrimSuffix(l.text, "\n"), "\n")
				files := []string{l.text, strings.Join(lines[1:], "")}
				for _, line := range lines {
					files = append(files, line)
					for cell := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(",; \n", r) }) {
						files = append(files, "id,name\n1,Ann\n2,"+cell+"\n3,Bob\n", cell)
					}
				}
				for _, file := range files {
					data, ok := written(e, file)
					if !ok {
						continue
					}
					head := look(t, data, Format{})
					switch {
					case head.Doubt() != "":
						if file == l.text && ours[nameOf(e)] {
							t.Errorf("the whole file is refused: %s", head.Doubt())
						}
						doubts(t, e, head.Doubt())
					case string(head.Text) != file:
						t.Errorf("%q is read as %s %q (%.2f)", file, head.Encoding, head.Text, head.Confidence)
					}
				}
			})
		}
	}
}

// ours are those that an import reads.
var ours = map[string]bool{"Windows 1252": true, "ISO 8859-1": true, "Shift JIS": true, "EUC-JP": true}

// doubts checks that what is refused comes with something to do.
func doubts(t *testing.T, e encoding.Encoding, doubt string) {
	t.Helper()
	if !strings.Contains(doubt, "set `encoding:") {
		t.Errorf("%s: nothing to do in %q", nameOf(e), doubt)
	}
}

// written is the text in the encoding; false if that lacks a character.
func written(e encoding.Encoding, text string) ([]byte, bool) {
	if e == charmap.Windows1258 {
		text = decomposed(text)
	}
	if e == charmap.Windows1250 || e == charmap.ISO8859_2 || e == charmap.CodePage852 {
		text = strings.NewReplacer("ș", "ş", "ț", "ţ", "Ș", "Ş", "Ț", "Ţ").Replace(text)
	}
	data, err := e.NewEncoder().Bytes([]byte(text))
	return data, err == nil
}

// decomposed writes Vietnamese as windows-1258 has it: the tone by itself, the rest of the letter not.
func decomposed(text string) string {
	var out strings.Builder
	for _, r := range text {
		if _, ok := charmap.Windows1258.EncodeRune(r); ok {
			out.WriteRune(r)
			continue
		}
		parts := []rune(norm.NFD.String(string(r)))
		last := len(parts) - 1
		for i, p := range parts { // the tone may be before the other mark
			if strings.ContainsRune("\u0300\u0301\u0303\u0309\u0323", p) {
				parts[i], parts[last] = parts[last], parts[i]
				break
			}
		}
		out.WriteString(norm.NFC.String(string(parts[:last])) + string(parts[last:]))
	}
	return out.String()
}

func nameOf(e encoding.Encoding) string {
	switch e {
	case japanese.ShiftJIS:
		return "Shift JIS"
	case japanese.EUCJP:
		return "EUC-JP"
	case korean.EUCKR:
		return "EUC-KR"
	case traditionalchinese.Big5:
		return "Big5"
	case simplifiedchinese.GBK:
		return "GBK"
	case simplifiedchinese.GB18030:
		return "GB18030"
	}
	if named, ok := e.(interface{ String() string }); ok {
		return named.String()
	}
	return "?"
}
