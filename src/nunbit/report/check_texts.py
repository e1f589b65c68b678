"""What the sheet of ``nunbit check`` says, in each language it speaks.

English sentences come with the findings; here are their headings, and the whole in
Korean, filled in from the finding's values.
"""

from __future__ import annotations

__all__ = ["SENTENCES_KO", "SUGGESTIONS_KO", "TITLES", "WORDS"]

TITLES: dict[str, dict[str, str]] = {
    "en": {
        "unreadable": "Unreadable pictures",
        "exact-across": "Identical pictures on both sides of a split",
        "exact-conflict": "Identical pictures with different labels",
        "exact-within": "Identical pictures",
        "near-across": "Nearly the same pictures on both sides of a split",
        "near-conflict": "Nearly the same pictures with different labels",
        "near-within": "Nearly the same pictures",
        "group-across": "Groups on both sides of a split",
        "one-class": "One class only",
        "missing-class": "Classes missing in a split",
        "tiny-class": "Tiny classes",
        "imbalance": "Uneven classes",
        "label-names": "Class names that differ in spelling only",
        "cut-off": "Pictures whose end seems to be missing",
        "plain": "Pictures of one colour",
        "size": "Unusual sizes",
        "aspect": "Unusual shapes",
        "brightness": "Unusual brightness",
        "odd-files": "Unusual kinds of files",
        "wrong-suffix": "Files that are not what their name says",
        "near-not-searched": "Small pictures",
        "near-capped": "Very many pictures alike",
        "source": "Noticed while scanning",
        "label-suspects": "Labels that are probably wrong",
        "labels-not-judged": "Labels were not judged",
    },
    "ko": {
        "unreadable": "읽을 수 없는 이미지",
        "exact-across": "서로 다른 분할에 들어 있는 동일한 이미지",
        "exact-conflict": "레이블이 서로 다른 동일한 이미지",
        "exact-within": "동일한 이미지",
        "near-across": "서로 다른 분할에 들어 있는 거의 같은 이미지",
        "near-conflict": "레이블이 서로 다른 거의 같은 이미지",
        "near-within": "거의 같은 이미지",
        "group-across": "서로 다른 분할로 갈라진 그룹",
        "one-class": "클래스가 하나뿐",
        "missing-class": "분할에 없는 클래스",
        "tiny-class": "이미지가 너무 적은 클래스",
        "imbalance": "클래스 불균형",
        "label-names": "표기만 다른 클래스 이름",
        "cut-off": "끝부분이 빠진 듯한 이미지",
        "plain": "한 가지 색뿐인 이미지",
        "size": "크기가 유별난 이미지",
        "aspect": "가로세로 비율이 유별난 이미지",
        "brightness": "밝기가 유별난 이미지",
        "odd-files": "드문 형식의 파일",
        "wrong-suffix": "확장자와 내용이 다른 파일",
        "near-not-searched": "작은 이미지",
        "near-capped": "서로 닮은 이미지가 아주 많음",
        "source": "파일을 훑으며 알게 된 점",
        "label-suspects": "틀린 것으로 의심되는 레이블",
        "labels-not-judged": "레이블을 판정하지 못함",
    },
}

SENTENCES_KO = {
    "unreadable": "이미지 {total:,}장 가운데 {count:,}장을 읽을 수 없습니다.",
    "exact-across": "동일한 이미지 {count:,}묶음(모두 {pictures:,}장)이 서로 다른 분할에 들어 "
    "있습니다({splits}). 평가 점수가 실제보다 높게 나옵니다.",
    "exact-conflict": "동일한 이미지 {count:,}묶음(모두 {pictures:,}장)의 레이블이 서로 다릅니다.",
    "exact-within": "같은 분할 안에 동일한 이미지 {count:,}묶음(모두 {pictures:,}장)이 있습니다.",
    "near-across": "거의 같은 이미지 {count:,}묶음(모두 {pictures:,}장)이 서로 다른 분할에 들어 "
    "있습니다({splits}). 평가 점수가 실제보다 높게 나옵니다.",
    "near-conflict": "거의 같은 이미지 {count:,}묶음(모두 {pictures:,}장)의 레이블이 서로 "
    "다릅니다.",
    "near-within": "같은 분할 안에 거의 같은 이미지 {count:,}묶음(모두 {pictures:,}장)이 있습니다.",
    "group-across": "그룹 {count:,}개의 이미지가 서로 다른 분할에 들어 있습니다({names}). 평가 "
    "점수가 실제보다 높게 나옵니다.",
    "one-class": "모든 이미지의 클래스가 하나({name})입니다.",
    "missing-class": "{split} 분할에 다음 클래스의 이미지가 없습니다: {names}.",
    "tiny-class": "훈련 이미지가 {least}장보다 적은 클래스가 {count:,}개 있습니다: {names}.",
    "imbalance": "가장 큰 클래스의 훈련 이미지가 가장 작은 클래스의 {ratio:,}배입니다"
    "({large}: {most:,}장, {small}: {least:,}장).",
    "label-names": "표기만 다른 클래스 이름이 {count:,}쌍 있습니다: {names}.",
    "cut-off": "JPEG {count:,}장의 한쪽 끝이 균일한 회색입니다. 다운로드가 중간에 끊기면 이렇게 "
    "됩니다.",
    "plain": "이미지 {count:,}장이 한 가지 색뿐입니다.",
    "size": "이미지 {count:,}장이 다른 이미지보다 훨씬 크거나 작습니다.",
    "aspect": "이미지 {count:,}장이 다른 이미지보다 한쪽으로 훨씬 깁니다.",
    "brightness": "이미지 {count:,}장이 다른 이미지보다 훨씬 어둡거나 밝습니다.",
    "odd-files": "파일 {count:,}개가 드문 형식입니다: {kinds}.",
    "wrong-suffix": "파일 {count:,}개의 내용이 확장자와 다릅니다.",
    "near-not-searched": "이미지 {count:,}장은 {least}픽셀보다 작아 동일한 것만 찾았습니다. "
    "이렇게 작은 이미지는 본래 서로 닮았기 때문입니다.",
    "near-capped": "서로 닮은 이미지가 아주 많아 모든 쌍을 비교하지는 않았습니다. 여기 적힌 "
    "것보다 거의 같은 이미지가 더 있을 수 있습니다.",
    "source": "{note}",
    "label-suspects": "이 이미지를 학습하지 않은 신경망이 레이블 {count:,}개를 받아들이지 "
    "않았습니다. 이 신경망은 전체 레이블의 {agreement_percent}%에 동의합니다.",
    "labels-not-judged": "{reason}",
}

SUGGESTIONS_KO = {
    "unreadable": "학습에서 빠집니다. 다시 복사하거나 다시 저장하세요.",
    "exact-across": "한쪽을 빼거나(`--exclude-file`), `group`으로 묶어 같은 분할에 두세요.",
    "exact-conflict": "레이블을 하나로 맞추거나 모두 빼세요(`--exclude-file`).",
    "exact-within": "무작위로 나눈 검증 데이터에 섞여 들어갈 수 있습니다. 사본을 "
    "빼거나(`--exclude-file`), `group`으로 묶으세요.",
    "near-across": "한쪽을 빼거나(`--exclude-file`), `group`으로 묶어 같은 분할에 두세요.",
    "near-conflict": "레이블을 하나로 맞추거나 모두 빼세요(`--exclude-file`).",
    "near-within": "무작위로 나눈 검증 데이터에 섞여 들어갈 수 있습니다. 사본을 "
    "빼거나(`--exclude-file`), `group`으로 묶으세요.",
    "group-across": "한 그룹의 이미지는 모두 같은 분할에 두세요.",
    "one-class": "다른 것을 찍은 이미지를 두 번째 클래스 폴더에 넣으세요.",
    "missing-class": "모든 분할에 같은 클래스가 있어야 합니다. 이미지를 더하거나 그 클래스를 "
    "빼세요.",
    "tiny-class": "이미지를 더 모으세요. 이렇게 적은 수로 낸 점수는 믿기 어렵습니다.",
    "imbalance": "정확도만 보지 말고 클래스별 점수를 보세요.",
    "label-names": "대소문자, 빈칸, 기호만 다르면 대개 같은 클래스입니다. 이름을 하나로 맞추세요.",
    "cut-off": "확인하고, 끝부분이 빠진 이미지는 다시 복사하거나 다시 저장하세요.",
    "plain": "검은 화면이거나 저장에 실패한 이미지인지 확인하세요.",
    "size": "아주 작은 것은 미리보기나 아이콘일 때가 많습니다. 여기 있어야 하는지 확인하세요.",
    "aspect": "정사각형으로 줄이거나 자르면 많은 것을 잃습니다. `--fit`을 보거나 먼저 자르세요.",
    "brightness": "잘못 찍혔거나 반전된 이미지인지 확인하세요.",
    "odd-files": "Nunbit은 올바르게 읽지만, 그러지 못하는 프로그램도 있습니다.",
    "wrong-suffix": "Nunbit은 내용을 보고 읽습니다. 다른 프로그램을 위해 이름을 바꾸세요.",
    "near-not-searched": "",
    "near-capped": "",
    "source": "",
    "label-suspects": "위에 있는 것부터 확인하세요. 어려울 뿐인 이미지도 있습니다. 이 이미지는 "
    "`--exclude-file` 목록에 들어가지 않습니다.",
    "labels-not-judged": "",
}

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "kind": "Nunbit check",
        "title": "{source} – Nunbit check",
        "verdict": "{source}: {errors} and {warnings} in {pictures}.",
        "verdict_clean": "{source}: nothing wrong was found in {pictures}.",
        "error_one": "1 error",
        "error_many": "{count:,} errors",
        "warning_one": "1 warning",
        "warning_many": "{count:,} warnings",
        "picture_one": "1 picture",
        "picture_many": "{count:,} pictures",
        "error": "error",
        "warning": "warning",
        "note": "note",
        "pictures": "Pictures by class and split",
        "class": "class",
        "all": "all",
        "shown": "{shown:,} of {count:,} are shown; `nunbit check --json` lists more.",
        "copies": "{shown:,} of {count:,} copies are shown.",
        "classes_shown": "{shown:,} of {count:,} classes are shown.",
        "no_picture": "cannot be shown",
        "brightness": "brightness",
        "footer": "This page is complete in itself: it loads nothing from a network. The "
        "pictures that were checked are untouched.",
    },
    "ko": {
        "kind": "Nunbit 점검",
        "title": "{source} – Nunbit 점검",
        "verdict": "{source}: {pictures}에서 {errors}, {warnings}를 찾았습니다.",
        "verdict_clean": "{source}: {pictures}에서 잘못된 점을 찾지 못했습니다.",
        "error_one": "오류 1개",
        "error_many": "오류 {count:,}개",
        "warning_one": "경고 1개",
        "warning_many": "경고 {count:,}개",
        "picture_one": "이미지 1장",
        "picture_many": "이미지 {count:,}장",
        "error": "오류",
        "warning": "경고",
        "note": "참고",
        "pictures": "클래스와 분할별 이미지 수",
        "class": "클래스",
        "all": "합계",
        "shown": "{count:,}개 가운데 {shown:,}개를 보입니다. 나머지는 `nunbit check --json`으로 볼 "
        "수 있습니다.",
        "copies": "사본 {count:,}장 가운데 {shown:,}장을 보입니다.",
        "classes_shown": "클래스 {count:,}개 가운데 {shown:,}개를 보입니다.",
        "no_picture": "보여 줄 수 없음",
        "brightness": "밝기",
        "footer": "이 페이지는 파일 하나로 완결되며, 네트워크에서 아무것도 불러오지 않습니다. "
        "점검한 이미지는 그대로입니다.",
    },
}
