"""What the report says, in each language it speaks.

Every language has the same keys, and each sentence the same ``{places}``; a test
holds it. Korean sentences put a fixed word before each particle that would
otherwise depend on the last sound of a name (``신경망이``, not ``cnn-mnist가``).
"""

from __future__ import annotations

__all__ = ["FACTS", "SCORES", "SPLITS", "TEXTS"]

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "title": "{source} · {network} \u2013 Nunbit report",
        "report": "Nunbit report",
        "verdict_accuracy": "{network} reads {value} of {count} {split} pictures of {source} "
        "correctly{interval}.",
        "verdict_score": "{network} reaches {score} {value} on {count} {split} pictures of "
        "{source}{interval}.",
        "verdict_none": "{network} was trained on {source}, and not scored on pictures held back.",
        "verdict_interval": " (95\u00a0% interval {interval})",
        "lead_misread": "{wrong} of them were misread.",
        "lead_misread_one": "One of them was misread.",
        "lead_perfect": "None of them was misread.",
        "lead_interval": "The interval is where the {score} would most likely lie, were it "
        "measured on very many pictures of the same kind.",
        "lead_validation": "Training looks at the validation pictures to choose its epoch, so "
        "this number can be slightly too good; a test split would not have this fault.",
        "run": "The run",
        "stop_reason": "Why training ended",
        "notes": "Noticed in the data",
        "scores": "Scores",
        "score": "score",
        "value": "value",
        "interval": "95\u00a0% interval",
        "bar": "95\u00a0% interval {interval} on a scale from {low} to {high}",
        "bars_from_to": "scale from {low} to {high}",
        "pictures_one": "1 picture",
        "pictures_many": "{count} pictures",
        "curves": "How training went",
        "chart_title": "{name} by epoch",
        "from_to": "from {first} in epoch {start} to {last} in epoch {end}",
        "lowest": "lowest {value} in epoch {epoch}, at the end {last}",
        "highest": "highest {value} in epoch {epoch}, at the end {last}",
        "not_finite": "Left out, because it is not a finite number: {split} in {epochs}.",
        "epochs_one": "epoch {epochs}",
        "epochs_many": "epochs {epochs}",
        "and_more": "{shown} and {count} more",
        "epoch": "epoch",
        "epoch_table": "All numbers by epoch",
        "matrix": "Confusion matrix",
        "matrix_about": "Rows: what the picture is. Columns: what the network read. Blue is right, "
        "orange is misread; the stronger the colour, the larger the share of its row. Blue grows "
        "stronger every 20\u00a0%, orange above 1, 3, 10 and 30\u00a0%.",
        "matrix_empty": "An empty cell means no picture.",
        "matrix_order": "One cell for each pair of classes, in the order of the classes.",
        "matrix_alt": "Confusion matrix of {classes} classes; {right} of {count} pictures lie on "
        "the diagonal, that is, were read correctly.",
        "cell": "is {expected}, read as {received}: {count} ({share} of the row)",
        "is": "is",
        "read_as": "read as",
        "pairs": "Most often confused",
        "pairs_count": "pictures",
        "pairs_share": "share of the class",
        "pairs_shown": "The {shown} most frequent of {count} confused pairs.",
        "classes": "Class by class",
        "class": "class",
        "classes_about": "Precision: how many of the pictures read as this class are of it. "
        "Recall: how many pictures of this class were read as it. F1: one number for both.",
        "classes_worst": "The {shown} classes with the lowest {score}, of {count}.",
        "classes_all": "All {count} classes",
        "misread": "Misread with the most confidence",
        "misread_caption": "{shown} of {count} misread pictures, most confident first. "
        "The percentage is how sure the network was of its wrong answer.",
        "misread_alt": "{name}: is {expected}, read as {received}, {confidence} sure",
        "misread_none": "No picture was misread.",
        "repeat": "To repeat it",
        "command": "Command",
        "options": "Options",
        "option": "option",
        "versions": "Versions",
        "version": "version",
        "program": "program",
        "footer": "This page is complete in itself: it loads nothing from a network.",
    },
    "ko": {
        "title": "{source} · {network} \u2013 Nunbit 보고서",
        "report": "Nunbit 보고서",
        "verdict_accuracy": "{network} 신경망이 {source}의 {split} 이미지 {count}장 가운데 "
        "{value}를 올바르게 읽었습니다{interval}.",
        "verdict_score": "{source}의 {split} 이미지 {count}장에서 {network} 신경망의 {score} 값은 "
        "{value}입니다{interval}.",
        "verdict_none": "{network} 신경망을 {source} 데이터로 학습했으며, 따로 떼어 둔 이미지로 "
        "평가하지는 않았습니다.",
        "verdict_interval": "(95% 신뢰구간 {interval})",
        "lead_misread": "그중 {wrong}장을 잘못 읽었습니다.",
        "lead_misread_one": "그중 한 장을 잘못 읽었습니다.",
        "lead_perfect": "잘못 읽은 이미지는 없습니다.",
        "lead_interval": "신뢰구간은 같은 종류의 이미지를 아주 많이 모아 다시 쟀을 때 {score} 값이 "
        "놓일 가능성이 높은 범위입니다.",
        "lead_validation": "학습 중에 검증 이미지를 보고 에포크를 고르므로 이 값은 실제보다 조금 "
        "높을 수 있습니다. 테스트 데이터를 따로 두면 이런 문제가 없습니다.",
        "run": "실행 정보",
        "stop_reason": "학습이 끝난 이유",
        "notes": "데이터에서 발견한 점",
        "scores": "평가 결과",
        "score": "지표",
        "value": "값",
        "interval": "95% 신뢰구간",
        "bar": "{low}부터 {high}까지의 눈금에 나타낸 95% 신뢰구간 {interval}",
        "bars_from_to": "눈금 {low}~{high}",
        "pictures_one": "이미지 1장",
        "pictures_many": "이미지 {count}장",
        "curves": "학습 과정",
        "chart_title": "에포크별 {name}",
        "from_to": "에포크 {start}의 {first}에서 에포크 {end}의 {last}까지",
        "lowest": "최저 {value}(에포크 {epoch}), 마지막 {last}",
        "highest": "최고 {value}(에포크 {epoch}), 마지막 {last}",
        "not_finite": "유한한 수가 아니어서 뺀 값: {split}, {epochs}.",
        "epochs_one": "에포크 {epochs}",
        "epochs_many": "에포크 {epochs}",
        "and_more": "{shown} 외 {count}개",
        "epoch": "에포크",
        "epoch_table": "에포크별 수치 전체",
        "matrix": "혼동 행렬",
        "matrix_about": "행은 정답, 열은 신경망의 예측입니다. 파란색은 맞은 것, 주황색은 틀린 "
        "것이며, 색이 진할수록 그 행에서 차지하는 비율이 큽니다. 파란색은 20%마다, 주황색은 "
        "1, 3, 10, 30%를 넘을 때마다 진해집니다.",
        "matrix_empty": "빈칸은 해당 이미지가 없다는 뜻입니다.",
        "matrix_order": "클래스 쌍마다 한 칸씩, 클래스 순서대로 놓여 있습니다.",
        "matrix_alt": "클래스 {classes}개의 혼동 행렬. 이미지 {count}장 가운데 {right}장이 "
        "대각선 위에 있습니다. 즉, 올바르게 읽혔습니다.",
        "cell": "정답 {expected}, 예측 {received}: {count}장(행의 {share})",
        "is": "정답",
        "read_as": "예측",
        "pairs": "가장 자주 혼동한 클래스",
        "pairs_count": "이미지 수",
        "pairs_share": "클래스 내 비율",
        "pairs_shown": "혼동한 클래스 쌍 {count}개 중 가장 잦은 {shown}개입니다.",
        "classes": "클래스별 결과",
        "class": "클래스",
        "classes_about": "정밀도는 이 클래스로 읽은 이미지 가운데 실제로 이 클래스인 비율, "
        "재현율은 이 클래스의 이미지 가운데 이 클래스로 읽은 비율이며, F1은 둘을 하나로 "
        "합친 값입니다.",
        "classes_worst": "클래스 {count}개 중 {score} 값이 가장 낮은 {shown}개입니다.",
        "classes_all": "클래스 {count}개 전체",
        "misread": "가장 확신하며 잘못 읽은 이미지",
        "misread_caption": "잘못 읽은 이미지 {count}장 중 {shown}장을 확신이 큰 순서로 "
        "보여 줍니다. 백분율은 틀린 답에 대한 신경망의 확신도입니다.",
        "misread_alt": "{name}: 정답 {expected}, 예측 {received}, 확신도 {confidence}",
        "misread_none": "잘못 읽은 이미지가 없습니다.",
        "repeat": "다시 실행하기",
        "command": "명령",
        "options": "옵션",
        "option": "옵션",
        "versions": "버전",
        "version": "버전",
        "program": "프로그램",
        "footer": "이 페이지는 파일 하나로 완결되며, 네트워크에서 아무것도 불러오지 않습니다.",
    },
}

SPLITS = {
    "en": {"train": "training", "validation": "validation", "test": "test"},
    "ko": {"train": "훈련", "validation": "검증", "test": "테스트"},
}

SCORES = {
    "en": {
        "accuracy": "accuracy",
        "count": "pictures",
        "ece": "calibration error",
        "f1": "F1",
        "loss": "loss",
        "lr": "learning rate",
        "precision": "precision",
        "recall": "recall",
        "seconds": "seconds",
        "top5_accuracy": "top-5 accuracy",
    },
    "ko": {
        "accuracy": "정확도",
        "count": "이미지 수",
        "ece": "보정 오차",
        "f1": "F1",
        "loss": "손실",
        "lr": "학습률",
        "precision": "정밀도",
        "recall": "재현율",
        "seconds": "초",
        "top5_accuracy": "상위 5개 정확도",
    },
}

FACTS = {
    "ko": {
        "augmentation": "데이터 증식",
        "batch size": "배치 크기",
        "began with": "시작 가중치",
        "best epoch": "가장 좋은 에포크",
        "classes": "클래스",
        "data": "데이터",
        "date": "날짜",
        "device": "장치",
        "epochs": "에포크",
        "fit": "크기 맞춤",
        "fit to size": "크기 맞춤",
        "image size": "이미지 크기",
        "learning rate": "학습률",
        "network": "신경망",
        "optimizer": "최적화 기법",
        "parameters": "매개변수",
        "pictures": "이미지",
        "pictures per second": "초당 이미지 수",
        "pictures/s": "초당 이미지 수",
        "precision": "수치 정밀도",
        "run": "실행",
        "seconds": "시간(초)",
        "seed": "시드",
        "source": "데이터 출처",
        "speed": "속도",
        "splits": "데이터 분할",
        "started": "시작",
        "test": "테스트",
        "test pictures": "테스트 이미지",
        "time": "소요 시간",
        "training": "훈련",
        "training pictures": "훈련 이미지",
        "training time": "학습 시간",
        "validation": "검증",
        "validation pictures": "검증 이미지",
    }
}
"""Labels of facts, lower case; an unknown label is shown as it came."""
