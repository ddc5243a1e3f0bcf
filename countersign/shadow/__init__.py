"""What agents said against what people say, clause by clause: judging, shadow runs over labelled cases, their report.

`judging` compares one review, `cases` reads labelled ones, `report` makes figures of many, `plots`
and `page` show them.
"""
